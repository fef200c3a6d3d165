import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

import type { Tally } from '../faults/context.ts'

/** What the workers said in their logs. */
export interface WorkerLogs {
  /** What they saved from the dead: proof that there was something to save. */
  readonly healed: Tally
  /** Messages that are not true: Redis has lost nothing, and nobody has deleted a group, an index or a row's column. */
  readonly falseAlarms: readonly string[]
}

const healing: Readonly<Record<string, { readonly message: string; readonly fact: string }>> = {
  'entries taken over': { message: 'took over entries', fact: 'entries' },
  'messages re-queued': { message: 're-queued messages that were never published', fact: 'moved' },
}
const alarm =
  /ticket counter was behind|changes may be missing|nothing can be written|cannot be indexed|cannot go on/

export async function readWorkerLogs(folder: string): Promise<WorkerLogs> {
  const healed: Tally = Object.fromEntries(Object.keys(healing).map((name) => [name, 0]))
  const falseAlarms: string[] = []
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.log'))) {
    for (const text of (await readFile(path.join(folder, file), 'utf8')).split('\n')) {
      const line = parse(text)
      if (line === undefined) continue
      for (const [name, { message, fact }] of Object.entries(healing)) {
        if (line.msg.startsWith(message)) healed[name] = (healed[name] ?? 0) + Number(line[fact])
      }
      if (alarm.test(line.msg)) falseAlarms.push(`${file}: ${line.msg}`)
    }
  }
  return { healed, falseAlarms }
}

/** Some lines are not JSON, and a killed process may leave half a line. */
function parse(text: string): { readonly msg: string; readonly [fact: string]: unknown } | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const line = JSON.parse(text) as { msg?: unknown }
    return typeof line.msg === 'string' ? { ...line, msg: line.msg } : undefined
  } catch {
    return undefined
  }
}
