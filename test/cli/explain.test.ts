import { afterAll, beforeAll, expect, test } from 'vitest'

import { Program, type Exit } from '../process/support/program.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

let space: TestSpace

beforeAll(async () => {
  space = await testSpace()
})
afterAll(() => space.dispose())

const explain = (...args: string[]): Promise<Exit & { output: string }> => run('cascade', ...args)
const explainDocuments = (...args: string[]): Promise<Exit & { output: string }> => run('documents', ...args)

/** Runs it without Redis and Elasticsearch: only the database is asked. */
async function run(...args: string[]): Promise<Exit & { output: string }> {
  const config = ['--config', 'test/fixtures/process/catalogue.config.ts']
  const program = new Program('redstream explain', 'bin/redstream.js', ['explain', ...args, ...config], {
    DATABASE_URL: space.databaseUrl,
    REDIS_URL: 'redis://127.0.0.1:1',
    ELASTICSEARCH_URL: 'http://127.0.0.1:1',
    TEST_SPACE: space.namespace,
    TEST_PARTITIONS: '1',
  })
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

test('explain documents prints who makes them, and why not the database', async () => {
  const { code, output } = await explainDocuments('Item')
  expect(output.replaceAll(space.namespace, 'shop')).toMatchInlineSnapshot(`
    "shop-items (Item): documents are made of entities, because
      Item.id is not in the database
      Maker.id is not in the database
      Maker.name is not in the database"
  `)
  expect(code).toBe(0)
  expect(JSON.parse((await explainDocuments('Item', '--json')).output)).toMatchObject([{ entity: 'Item' }])
})
