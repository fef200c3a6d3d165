import { readdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'

import { describe, expect, it } from 'vitest'

import type { Message } from '../../src/streams/message.ts'
import { StreamedTransaction } from '../../src/wal/streamed-transaction.ts'

async function collected(transaction: StreamedTransaction): Promise<[number, string][]> {
  const found: [number, string][] = []
  for await (const { stream, messages } of transaction.pages())
    found.push(...messages.map(({ id }): [number, string] => [stream, id]))
  return found
}

const message = (id: number): Message => ({ id: String(id), before: [`{"country":"${id}"}`] })
const folders = (): number => readdirSync(tmpdir()).filter((name) => name.startsWith('redstream-')).length

/** A file that is closed while they are read has no name any more. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return []
    }
  })
}

describe('a transaction that is streamed before its commit', () => {
  it('holds what it changed, without what its savepoints took back', async () => {
    const transaction = new StreamedTransaction(7)
    for (const [savepoint, stream, id] of [
      [7, 0, 1],
      [7, 1, 2],
      [8, 0, 3],
      [9, 0, 4],
      [8, 1, 5],
      [7, 0, 6],
    ] as const)
      transaction.add(savepoint, stream, message(id))
    transaction.undo(8)
    expect(await collected(transaction)).toEqual([
      [0, '1'],
      [1, '2'],
      [0, '4'],
      [0, '6'],
    ])
  })

  it('goes to a file when it is large, can be read twice, and leaves nothing behind', async () => {
    const transaction = new StreamedTransaction(7)
    const expected = Array.from({ length: 60_000 }, (_, id): [number, string] => [0, String(id)])
    for (const [stream, id] of expected) transaction.add(7, stream, message(Number(id)))
    expect(folders()).toBeGreaterThan(0)
    expect(await collected(transaction)).toEqual(expected)
    expect(await collected(transaction)).toEqual(expected)
    transaction.end()
    expect(await collected(transaction)).toEqual([])
  })

  // What is left open is closed by the garbage collector, of which Node warns and will fail.
  it.runIf(process.platform === 'linux')(
    'leaves no file open when its reader stops in the middle',
    async () => {
      const transaction = new StreamedTransaction(7)
      for (let id = 0; id < 60_000; id++) transaction.add(7, 0, message(id))
      for await (const { messages } of transaction.pages()) if (messages.length > 0) break
      transaction.end()
      expect(openFiles().filter((name) => name.includes('transaction.jsonl'))).toEqual([])
    },
  )
})
