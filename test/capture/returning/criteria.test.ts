import { Brackets, DataSource, In, Not, type UpdateQueryBuilder } from 'typeorm'
import { describe, expect, test } from 'vitest'

import type { Builder } from '../../../src/capture/returning/builder.ts'
import { keysNamed } from '../../../src/capture/returning/criteria.ts'
import { Coupon, entities, Item, Line } from './shop.ts'

// Only its metadata are used: nothing is connected to.
const dataSource = new DataSource({ type: 'postgres', entities: [...entities] })
await (dataSource as unknown as { buildMetadatas(): Promise<void> }).buildMetadatas()

type Narrow<E extends object> = (query: UpdateQueryBuilder<E>) => unknown

function named<E extends object>(entity: new () => E, narrow: Narrow<E>): unknown {
  const query = dataSource.createQueryBuilder().update(entity)
  narrow(query)
  const { wheres, parameters } = (query as unknown as Builder).expressionMap
  return keysNamed(dataSource.getMetadata(entity), wheres, parameters)
}

describe('criteria that name the keys', () => {
  test.each<[string, Narrow<Item>, unknown]>([
    ['an id', (query) => query.whereInIds(5), [{ id: 5 }]],
    ['ids', (query) => query.whereInIds([1, 2]), [{ id: 1 }, { id: 2 }]],
    ['{ id }', (query) => query.where({ id: 5 }), [{ id: 5 }]],
    ['{ id: In }', (query) => query.where({ id: In([1, 2]) }), [{ id: 1 }, { id: 2 }]],
    ['{ id: In([]) }', (query) => query.where({ id: In([]) }), []],
    ['an id and more', (query) => query.where({ id: 5, stock: 0 }), [{ id: 5 }]],
    ['an id AND SQL', (query) => query.where({ id: 5 }).andWhere('"in_stock" > 0'), [{ id: 5 }]],
    ['several maps', (query) => query.where([{ id: 1 }, { id: 2, name: 'b' }]), [{ id: 1 }, { id: 2 }]],
    ['ids OR ids', (query) => query.whereInIds(1).orWhereInIds([2]), [{ id: 1 }, { id: 2 }]],
    [
      'brackets',
      (query) => query.where(new Brackets((inner) => inner.where({ id: 1 }).orWhere({ id: 2 }))),
      [{ id: 1 }, { id: 2 }],
    ],
    ['an entity', (query) => query.whereEntity({ id: 7 } as Item), [{ id: 7 }]],
  ])('%s', (_, narrow, keys) => expect(named(Item, narrow)).toEqual(keys))

  test('composite keys, in maps and spread over conditions', () => {
    const keys = [
      { order: 1, code: 'a' },
      { order: 2, code: 'b' },
    ]
    expect(named(Line, (query) => query.whereInIds(keys))).toEqual(keys)
    expect(named(Line, (query) => query.where({ order: 1 }).andWhere({ code: In(['a', 'b']) }))).toEqual([
      { order: 1, code: 'a' },
      { order: 1, code: 'b' },
    ])
  })

  test('a transformed key has the form of the application', () => {
    expect(named(Coupon, (query) => query.where({ code: 'abc' }))).toEqual([{ code: 'abc' }])
  })
})

describe('criteria that may match other rows', () => {
  test.each<[string, Narrow<Item>]>([
    ['none', (query) => query],
    ['another column', (query) => query.where({ name: 'a' })],
    ['an id or another column', (query) => query.where([{ id: 1 }, { name: 'a' }])],
    ['an id OR SQL', (query) => query.where({ id: 1 }).orWhere('"in_stock" > 0')],
    ['an id AND SQL with an OR', (query) => query.where({ id: 1 }).andWhere('"in_stock" > 0 OR 1 = 1')],
    ['not an id', (query) => query.where({ id: Not(1) })],
    ['SQL', (query) => query.where('id = :id', { id: 1 })],
  ])('%s', (_, narrow) => expect(named(Item, narrow)).toBeUndefined())

  test('a part of a composite key', () => {
    expect(named(Line, (query) => query.where({ order: 1 }))).toBeUndefined()
  })
})
