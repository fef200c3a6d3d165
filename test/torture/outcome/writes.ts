import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'

import type { Tally } from '../faults/context.ts'

/** What the writers did, from their journals. */
export interface Writes {
  /** Changes of rows by kind, those that were rolled back later included. */
  readonly changes: Tally
  /** Writes by the way they were made. */
  readonly paths: Tally
  /** Writes by how they ended; `killed` are those that did not come to their end. */
  readonly ends: Tally
  readonly longestMs: number
}

export async function countWrites(folder: string): Promise<Writes> {
  const writes = { changes: {} as Tally, paths: {} as Tally, ends: {} as Tally, longestMs: 0 }
  const add = (tally: Tally, name: string, by = 1): void => {
    tally[name] = (tally[name] ?? 0) + by
  }
  const open = new Set<string>()
  for (const file of (await readdir(folder)).filter((name) => name.startsWith('writes-'))) {
    for await (const text of createInterface({ input: createReadStream(path.join(folder, file)) })) {
      const { write, path: way, change, end, ms = 0 } = JSON.parse(text) as JournalLine
      if (way !== undefined) {
        add(writes.paths, way)
        open.add(write)
      } else if (change !== undefined) add(writes.changes, change)
      else if (end !== undefined) {
        add(writes.ends, end)
        open.delete(write)
        if (end === 'done') writes.longestMs = Math.max(writes.longestMs, ms)
      }
    }
  }
  if (open.size > 0) add(writes.ends, 'killed', open.size)
  return writes
}

interface JournalLine {
  readonly write: string
  readonly path?: string
  readonly change?: string
  readonly end?: string
  readonly ms?: number
}
