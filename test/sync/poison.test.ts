import { afterEach, expect, test } from 'vitest'

import type { CityRow } from '../support/city.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'

const batches = 100
const batchSize = 100

let app: Pipelined

afterEach(() => app.dispose())

/** Of each batch one row cannot be indexed: here `document()` fails, there Elasticsearch refuses it. */
function poisonOf(batch: number): Pick<CityRow, 'name' | 'population'> {
  return batch % 2 === 0
    ? { name: 'no document', population: 1 }
    : { name: 'out of range', population: 1_000 }
}

test('1 poison row in each of 100 batches: 100 dead letters with their reasons, all others indexed, none left when they are mended', async () => {
  const builds = new Map<number, number>()
  app = await pipelined(
    { batchSize },
    {
      mappings: { properties: { population: { type: 'byte' } } },
      document: ({ id, name, population }) => {
        builds.set(id, (builds.get(id) ?? 0) + 1)
        if (name === 'no document') throw new Error('no document for it')
        return { name, population }
      },
    },
  )
  const { dataSource, client, index, pipeline, redstream } = app
  const rows = Array.from({ length: batches * batchSize }, (_, i) => {
    const poison = i % batchSize === 37 ? poisonOf(Math.floor(i / batchSize)) : undefined
    return Object.assign(app.city(`city ${i}`), poison)
  })
  await dataSource.manager.save(rows, { chunk: 1_000 })
  const poison = rows.filter((_, i) => i % batchSize === 37)
  const sizes: number[] = []
  pipeline.events.on('delivered', ({ entries }) => sizes.push(entries))
  app.start('consumer')
  await redstream.drained({ timeout: 60_000 })

  expect(sizes).toEqual(Array.from({ length: batches }, () => batchSize))
  // Once with its batch, and once more when that was sent again without the poison, if at all.
  expect(Math.max(...builds.values())).toBeLessThanOrEqual(2)
  const letters = await pipeline.deadLetters({})
  expect(letters.map(({ id }) => id).toSorted()).toEqual(poison.map(({ id }) => String(id)).toSorted())
  const reasons = Map.groupBy(letters, ({ type }) => type)
  expect([...reasons.keys()].toSorted()).toEqual(['document_failed', 'document_parsing_exception'])
  for (const { reason } of reasons.get('document_failed')!) expect(reason).toBe('no document for it')
  for (const { reason } of reasons.get('document_parsing_exception')!)
    expect(reason).toMatch(/\[population\]/)
  await client.indices.refresh({ index })
  expect((await client.count({ index })).count).toBe(batches * batchSize - batches)
  const bad = await client.mget({ index, ids: poison.map(({ id }) => String(id)) })
  expect(bad.docs.filter((doc) => 'found' in doc && doc.found)).toEqual([])

  // Mended and written again, half of them; mended out of sight and retried, the others.
  const mended = poison.map((row) => Object.assign(row, { name: 'mended', population: 2 }))
  await dataSource.manager.save(mended.slice(0, batches / 2))
  await dataSource.query(
    `UPDATE ${dataSource.getMetadata(app.City).tablePath} SET name = 'mended', population = 2 WHERE id = ANY($1)`,
    [mended.slice(batches / 2).map(({ id }) => id)],
  )
  await redstream.drained()
  const left = await pipeline.deadLetters({})
  expect(left).toHaveLength(batches / 2)
  await pipeline.retryLetters(left)
  await redstream.drained()
  expect(await pipeline.deadLetters({})).toEqual([])
  await client.indices.refresh({ index })
  expect((await client.count({ index })).count).toBe(batches * batchSize)
  const found = await client.mget<{ name: string }>({ index, ids: mended.map(({ id }) => String(id)) })
  expect(new Set(found.docs.map((doc) => ('_source' in doc ? doc._source?.name : undefined)))).toEqual(
    new Set(['mended']),
  )
})
