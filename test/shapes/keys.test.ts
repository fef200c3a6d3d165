import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EntityTarget } from 'typeorm'

import { startShapes, type Shapes } from '../support/shapes.ts'
import {
  Big,
  Composite,
  EmbeddedKey,
  keyEntities,
  LongParts,
  Owner,
  RelationKey,
  TextKey,
  Transformed,
  Uuid,
  type Named,
} from './key-entities.ts'

let app: Shapes

beforeAll(async () => {
  app = await startShapes(keyEntities)
})
afterAll(() => app.dispose())

/** Saves, changes and removes a row; its document must follow. */
async function follow<E extends Named>(
  target: EntityTarget<E>,
  index: string,
  values: object,
  keyText: (row: E) => string,
  body: object = values,
): Promise<void> {
  const repository = app.dataSource.getRepository<Named>(target)
  const row = await repository.save(repository.create({ ...values, name: 'first' }))
  const id = keyText(row as E)
  expect(await app.documents(index)).toEqual([{ id, body: { ...body, name: 'first' } }])
  row.name = 'second'
  await repository.save(row)
  expect(await app.documents(index)).toEqual([{ id, body: { ...body, name: 'second' } }])
  await repository.remove(row)
  expect(await app.documents(index)).toEqual([])
}

test('composite', async () => {
  const values = { shop: 7, sku: 'a:1%' }
  await follow(Composite, 'composite', values, () => '7:a%3A1%25')
})

test('bigint, beyond what a number holds', async () => {
  await app.dataSource.query(`ALTER SEQUENCE ${app.space.schema}.big_id_seq RESTART WITH 9007199254740993`)
  const id = '9007199254740993'
  await follow(Big, 'big', {}, (row) => row.id, { id })
})

test('uuid', async () => {
  const id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
  await follow(Uuid, 'uuid', { id }, () => id)
})

test('embedded id', async () => {
  await follow(EmbeddedKey, 'embedded', { at: { x: 1, y: -2 } }, () => '1:-2')
})

test('a relation as the key', async () => {
  const { id } = await app.dataSource.manager.save(new Owner())
  await follow(RelationKey, 'relation', { ownerId: id }, () => String(id))
})

test('a key with a transformer', async () => {
  await follow(Transformed, 'transformed', { id: 'P-12' }, () => 'P-12')
})

test('ids that cannot be a document id are dead letters, their neighbours are indexed', async () => {
  const { manager } = app.dataSource
  const long = 'ü'.repeat(256)
  const rows = [
    { id: '', name: 'empty' },
    { id: `${long}x`, name: 'too long' },
    { id: long, name: '512 bytes' },
    { id: '.', name: 'a dot' },
  ]
  await manager.save(TextKey, rows)
  expect((await app.ids('text')).toSorted()).toEqual(['.', long])
  expect(await app.letters('text')).toEqual({
    '': {
      type: 'invalid_key',
      reason: 'the primary key is an empty text, which Elasticsearch does not accept as _id',
    },
    [`${long}x`]: {
      type: 'invalid_key',
      reason: 'the primary key is 513 bytes long, and Elasticsearch accepts an _id of at most 512',
    },
  })
  await manager.save(LongParts, { a: 'a'.repeat(300), b: 'b'.repeat(300), name: 'together' })
  expect(Object.values(await app.letters('long-parts'))).toMatchObject([{ type: 'invalid_key' }])
  await manager.save(LongParts, { a: '', b: '', name: 'both empty' })
  expect(await app.ids('long-parts')).toEqual([':'])
})
