import { pause } from '../../src/runtime/backoff.ts'
import type { CityRow } from '../support/city.ts'
import type { Pipelined } from '../support/pipelined.ts'

/** What was written until the stop. */
export interface Written {
  readonly saved: number
  readonly removed: number
  /** Rows that the table has now. */
  readonly rows: number
}

/**
 * Saves rows, again and again the same few among others, inserts and removes some, until it is stopped.
 *
 * @param table.spare - ids of rows that are left alone
 */
export function steadyWrites(
  { dataSource, City, city }: Pipelined,
  { rows, spare }: { rows: number; spare: readonly number[] },
): { stop(): Promise<Written> } {
  const stopping = new AbortController()
  const spared = new Set(spare)
  const free = Array.from({ length: rows }, (_, i) => i + 1).filter((id) => !spared.has(id))
  const hot = free.splice(0, 5)
  const counts = { saved: 0, removed: 0, rows }
  const repository = dataSource.getRepository<CityRow>(City)
  const any = (ids: number[]): number => ids[Math.floor(Math.random() * ids.length)]!
  const write = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const name = `written ${counts.saved}`
      await repository.save({ id: any(hot), name })
      await repository.save({ id: any(free), name })
      await repository.save(city(name))
      counts.saved += 3
      const gone = free.splice(Math.floor(Math.random() * free.length), 1)[0]!
      await repository.remove(Object.assign(new City(), { id: gone }))
      counts.removed += 1
      await pause(5)
    }
  }
  const writer = write()
  return {
    stop: async () => {
      stopping.abort()
      await writer
      return { ...counts, rows: await repository.count() }
    },
  }
}
