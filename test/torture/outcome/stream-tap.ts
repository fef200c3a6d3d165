import { setTimeout as sleep } from 'node:timers/promises'

import { Redis } from 'ioredis'

import type { Partition } from '../../../src/streams/keys.ts'
import { Journal } from '../application/journal.ts'

/**
 * Writes down what is added to the streams, as far as it can be read before it is removed: the lanes are empty when
 * somebody asks which messages a row had.
 *
 * @returns ends it
 */
export function tapStreams(url: string, partitions: readonly Partition[], file: string): () => void {
  const redis = new Redis(url, { maxRetriesPerRequest: null })
  redis.on('error', () => undefined)
  const journal = new Journal(file)
  const positions = new Map(
    partitions.flatMap(({ keys }) => [keys.main, keys.bulk, keys.delay].map((key) => [key, '0'])),
  )
  const ended = new AbortController()
  const run = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      try {
        const keys = [...positions.keys()]
        const after = keys.map((key) => positions.get(key)!)
        for (const [key, entries] of (await redis.xread('BLOCK', 0, 'STREAMS', ...keys, ...after)) ?? []) {
          for (const [entry, fields] of entries) journal.write({ stream: key, entry, fields })
          positions.set(key, entries.at(-1)![0])
        }
      } catch {
        // Redis is being restarted.
        await sleep(200)
      }
    }
  }
  void run()
  return () => {
    ended.abort()
    redis.disconnect()
  }
}
