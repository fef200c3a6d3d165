import { afterEach, expect, test } from 'vitest'

import type { Mappings } from '../../src/indexed.ts'
import { planIndex, type IndexPlan } from '../../src/indexing/index-plan.ts'
import type { IndexDefinition } from '../../src/indexed.ts'
import { formatPlan } from '../../src/cli/commands/init.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'

let app: Pipelined
afterEach(() => app.dispose())

function planned(mappings: Mappings, settings: Record<string, unknown> = {}): Promise<IndexPlan> {
  const { definition, client } = app.pipeline.site(app.index)
  const changed: IndexDefinition = { ...definition, options: { ...definition.options, mappings, settings } }
  return planIndex(client, changed)
}

async function indices(): Promise<string[]> {
  return Object.keys(await app.client.indices.get({ index: `${app.index}*`, expand_wildcards: 'all' }))
}

test('nothing, a change in place, a reindex; nothing is changed, and nothing is left behind', async () => {
  app = await pipelined()
  const [physical] = await indices()
  const before = await app.client.indices.get({ index: physical! })
  expect(await planned({})).toEqual({ name: app.index, physical, action: 'nothing', changes: [] })

  const added = { properties: { code: { type: 'keyword' } } }
  expect(await planned(added, { refresh_interval: '5s' })).toEqual({
    name: app.index,
    physical,
    action: 'change',
    changes: ['setting index.refresh_interval: default -> 5s', 'field "code" added (keyword)'],
  })
  // Only a difference of notation: it is the default of the parameter.
  expect(await planned({ properties: { population: { type: 'integer', doc_values: true } } })).toMatchObject({
    action: 'nothing',
    changes: [],
  })

  const retyped = await planned({ properties: { population: { type: 'keyword' } } })
  expect(retyped).toMatchObject({
    action: 'reindex',
    changes: ['field "population": type integer -> keyword'],
    reason: expect.stringContaining(`redstream reindex ${app.index}`),
    bytes: expect.any(Number),
  })
  // Elasticsearch knows that this parameter cannot be changed; its type is the same.
  expect(await planned({ properties: { population: { type: 'integer', index: false } } })).toMatchObject({
    action: 'reindex',
    changes: ['field "population": index default -> false'],
  })
  expect(await planned({}, { number_of_shards: 3 })).toMatchObject({
    action: 'reindex',
    changes: ['setting index.number_of_shards: 1 -> 3'],
  })

  expect(await indices()).toEqual([physical])
  expect(await app.client.indices.get({ index: physical! })).toEqual(before)
})

test('an index that is not there, and one that was made by hand', async () => {
  app = await pipelined()
  const [physical] = await indices()
  await app.client.indices.delete({ index: physical! })
  expect(await app.pipeline.plan()).toEqual([
    { name: app.index, physical: null, action: 'create', changes: [] },
  ])
  await app.client.indices.create({ index: app.index })
  expect(await app.pipeline.plan()).toMatchObject([
    { action: 'blocked', physical: null, reason: expect.stringContaining('redstream init --adopt') },
  ])
})

test('a reindex is told with its rows and size', async () => {
  app = await pipelined()
  await app.dataSource.manager.save([app.city('Rome'), app.city('Paris')])
  const [physical] = await indices()
  await app.client.indices.delete({ index: physical! })
  const { definition } = app.pipeline.site(app.index)
  definition.options.mappings = { properties: { name: { type: 'keyword' } } }
  await app.pipeline.init()
  definition.options.mappings = {}
  const plan = await app.pipeline.plan()
  expect(plan).toMatchObject([{ action: 'reindex', rows: 2 }])
  expect(formatPlan(plan)).toMatch(
    /^reindex {4}\S+ -> \S+ \(2 rows, \d+\.\d MiB\)\n {11}field "name": type keyword -> text\n/,
  )
})
