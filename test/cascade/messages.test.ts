import { afterEach, beforeEach, expect, test } from 'vitest'

import { partitionsOf, type PartitionKeys } from '../../src/streams/keys.ts'
import { decodeMessages, type Message } from '../../src/streams/message.ts'
import { workshop, type Workshop } from '../support/workshop.ts'
import { Price, Product, shop } from './shop.ts'

let app: Workshop

beforeEach(async () => {
  app = await workshop(shop)
  await app.save(Product, { id: 1, name: 'apple' }, { id: 2, name: 'pear' })
  await app.save(Price, { id: 11, cents: 1, product: { id: 1 } })
})
afterEach(() => app.dispose())

function keysOf(table: string): PartitionKeys {
  return partitionsOf(app.space.namespace, `embedded:${app.space.schema}.${table}`, 1)[0]!.keys
}

async function messagesIn(key: string): Promise<Message[]> {
  return (await app.space.redis().xrange(key, '-', '+')).flatMap(([, fields]) => decodeMessages(fields))
}

test('before the commit the delay stream knows the parent that a child leaves, after it the main lane', async () => {
  const { main, delay } = keysOf('price')
  await app.space.redis().del(main)
  let delayed: Message[] = []
  // Registered after Redstream, so that its delay messages are in Redis.
  app.dataSource.subscribers.push({
    beforeTransactionCommit: async () => {
      delayed = await messagesIn(delay)
    },
  })
  await app.dataSource.transaction(async (manager) => {
    await manager.save(Price, { id: 11, cents: 2 })
    await manager.save(Price, { id: 11, product: { id: 2 } })
  })
  const left = ['{"productId":"1"}']
  expect(delayed).toContainEqual({ id: '11', before: left })
  expect(await messagesIn(main)).toEqual([{ id: '11', before: left }])
  expect(await messagesIn(delay)).toEqual([])
})

test('what a savepoint moved and gave up again is not followed', async () => {
  const { main } = keysOf('price')
  await app.space.redis().del(main)
  await app.dataSource.transaction(async (outer) => {
    await outer.save(Price, { id: 11, cents: 2 })
    await outer
      .transaction(async (inner) => {
        await inner.save(Price, { id: 11, product: { id: 2 } })
        throw new Error('no')
      })
      .catch(() => undefined)
  })
  expect(await messagesIn(main)).toEqual([{ id: '11' }])
})

test('a pair of a many-to-many relation is a message of its own table', async () => {
  const { manager } = app.dataSource
  await manager.query(`INSERT INTO tag (code, label) VALUES ('a:b', 'x')`)
  await manager.createQueryBuilder().relation(Product, 'tags').of(1).add('a:b')
  expect(await messagesIn(keysOf('product_tags_tag').main)).toEqual([{ id: '1:a%3Ab' }])
})
