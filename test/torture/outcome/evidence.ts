import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'

import { decodeMessages } from '../../../src/streams/message.ts'
import type { Difference } from './differences.ts'

/** A line of one of the traces, and what tells whom it is about. */
interface TraceLine {
  readonly at: number
  readonly stream?: string
  readonly fields?: string[]
  readonly treatment?: string
  readonly operations?: { readonly index: string; readonly id: string }[]
  readonly write?: string
}

/** What the traces know about each difference, in the order of time: writes of its content, messages, requests. */
export async function evidenceOf(
  folder: string,
  wrong: readonly Difference[],
): Promise<{ difference: Difference; trace: object[] }[]> {
  const cases = wrong.map((difference) => ({
    difference,
    labels: labelsIn(difference),
    trace: [] as TraceLine[],
  }))
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.jsonl'))) {
    for await (const text of createInterface({ input: createReadStream(path.join(folder, file)) })) {
      const line = parse(text)
      if (line === undefined) continue
      for (const { difference, labels, trace } of cases) {
        const part = partAbout(line, difference, labels)
        if (part !== undefined) trace.push(part)
      }
    }
  }
  return cases.map(({ difference, trace }) => ({ difference, trace: trace.sort((a, b) => a.at - b.at) }))
}

/** A killed writer may leave half a line. */
function parse(text: string): TraceLine | undefined {
  try {
    return JSON.parse(text) as TraceLine
  } catch {
    return undefined
  }
}

function partAbout(
  line: TraceLine,
  { index, id }: Difference,
  labels: ReadonlySet<string>,
): TraceLine | undefined {
  if (line.operations !== undefined) {
    const operations = line.operations.filter(
      (operation) => operation.id === id && operation.index.startsWith(index),
    )
    return operations.length === 0 ? undefined : { ...line, operations }
  }
  if (line.stream !== undefined) {
    const stream = line.stream.slice(line.stream.indexOf('{') + 1)
    if (!stream.startsWith(index)) return undefined
    return decodeMessages(line.fields ?? []).some((message) => message.id === id) ? line : undefined
  }
  return line.write !== undefined && labels.has(line.write) ? line : undefined
}

/** The writes that the contents come from: writers put their names into the rows. */
function labelsIn({ expected, found }: Difference): Set<string> {
  const text = JSON.stringify([expected, found])
  return new Set(text.match(/\d+\.\d+\.\d+-\d+/g))
}
