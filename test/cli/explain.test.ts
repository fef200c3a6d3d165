import { afterAll, beforeAll, expect, test } from 'vitest'

import { Program, type Exit } from '../process/support/program.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

let space: TestSpace

beforeAll(async () => {
  space = await testSpace()
})
afterAll(() => space.dispose())

/** Runs it without Redis and Elasticsearch: only the database is asked. */
async function explain(...args: string[]): Promise<Exit & { output: string }> {
  const config = ['--config', 'test/fixtures/process/catalogue.config.ts']
  const program = new Program(
    'redstream explain',
    'bin/redstream.js',
    ['explain', 'cascade', ...args, ...config],
    {
      DATABASE_URL: space.databaseUrl,
      REDIS_URL: 'redis://127.0.0.1:1',
      ELASTICSEARCH_URL: 'http://127.0.0.1:1',
      TEST_SPACE: space.namespace,
      TEST_PARTITIONS: '1',
    },
  )
  const exit = await program.exit
  return { ...exit, output: program.output.join('\n') }
}

test('explain cascade prints what a change of an entity leads to', async () => {
  const { code, output } = await explain('Maker')
  expect(output.replaceAll(space.namespace, 'shop')).toMatchInlineSnapshot(`
    "Maker (shop.makers)
      a changed row (id, name)
        indexes again: documents of shop-items that embed it as maker
        found by: items where items.makerId = makers.id"
  `)
  expect(code).toBe(0)
})

test('--json prints one document', async () => {
  const { code, output } = await explain(`${space.namespace}-items`, '--json')
  expect(JSON.parse(output)).toEqual([
    {
      table: `${space.schema}.makers`,
      entity: 'Maker',
      relation: 'maker',
      kind: 'row',
      option: 'relations',
      columns: ['id', 'name'],
      index: `${space.namespace}-items`,
      joins: ['items'],
      where: [{ column: 'items.makerId', from: 'makers.id' }],
    },
  ])
  expect(code).toBe(0)
})

test('a name that there is not is wrong usage', async () => {
  expect(await explain('Makers')).toMatchObject({ code: 2, output: '' })
})
