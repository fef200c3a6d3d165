import type { Pipelined } from '../support/pipelined.ts'

/** Differences that were made on purpose, by kind: the ids of the documents. */
export interface Drift {
  readonly missing: string[]
  readonly stale: string[]
  readonly orphaned: string[]
}

/** Rows written past TypeORM, and then queued and indexed. */
export async function manyCities(app: Pipelined, count: number): Promise<void> {
  await app.dataSource.query(
    `INSERT INTO cities (name, population) SELECT 'city ' || n, n FROM generate_series(1, ${count}) n`,
  )
  await app.redstream.bulkQueue(app.City, {})
  await app.redstream.drained({ timeout: 120_000 })
}

/** Writes to the index behind Redstream's back: `count` documents deleted, changed and added each. */
export async function makeDrift({ client, index }: Pipelined, ids: readonly number[]): Promise<Drift> {
  const count = ids.length / 2
  const missing = ids.slice(0, count).map(String)
  const stale = ids.slice(count).map(String)
  const numbered = Array.from({ length: Math.ceil(count / 2) }, (_, i) => String(1_000_000_000 + i))
  const named = Array.from({ length: Math.floor(count / 2) }, (_, i) => `by-hand-${i}`)
  const answer = await client.bulk({
    index,
    require_alias: true,
    operations: [
      ...missing.map((_id) => ({ delete: { _id } })),
      ...stale.flatMap((_id) => [{ update: { _id } }, { doc: { name: 'changed by hand' } }]),
      ...[...numbered, ...named].flatMap((_id) => [{ index: { _id } }, { name: 'added by hand' }]),
    ],
  })
  if (answer.errors)
    throw new Error(JSON.stringify(answer.items.find((item) => Object.values(item)[0]?.error)))
  return { missing, stale, orphaned: [...numbered, ...named] }
}
