import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { nameProblem, partitionsOf, reindexKeys, workersKey } from '../../src/streams/keys.ts'

const name = fc.string({ minLength: 1 }).filter((text) => nameProblem(text) === undefined)

/** What Redis Cluster hashes: what is between the first brace and the next closing one, if it is not empty. */
function hashTag(key: string): string {
  return /\{([^}]+)\}/.exec(key)?.[1] ?? key
}

test('the keys of a stream without a namespace', () => {
  const [partition] = partitionsOf('', 'products', 1)
  expect(partition).toEqual({
    stream: 'products',
    number: 0,
    keys: {
      main: 'redstream:{products}:main',
      bulk: 'redstream:{products}:bulk',
      delay: 'redstream:{products}:delay',
      ticket: 'redstream:{products}:ticket',
      targets: 'redstream:{products}:targets',
      deadLetters: 'redstream:{products}:dead-letters',
      groups: 'redstream:{products}:groups',
      fanOuts: 'redstream:{products}:fan-outs',
      mainWaiting: 'redstream:{products}:main:waiting',
      bulkWaiting: 'redstream:{products}:bulk:waiting',
    },
  })
  expect(workersKey('')).toBe('redstream:workers')
})

test('the keys of a stream with a namespace', () => {
  expect(partitionsOf('shop', 'products', 1)[0]?.keys.main).toBe('shop:redstream:{products}:main')
  expect(workersKey('shop')).toBe('shop:redstream:workers')
})

test('partitions have their number in the hash tag', () => {
  const partitions = partitionsOf('', 'products', 8)
  expect(partitions.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  expect(partitions[3]?.keys.delay).toBe('redstream:{products:3}:delay')
})

test('the keys of a reindex are in the slot of the first partition', () => {
  const [first] = partitionsOf('shop', 'main', 2)
  const keys = reindexKeys(first!)
  expect(keys.state).toBe('shop:redstream:{main:0}:reindex')
  expect(keys.driver).toBe('shop:redstream:{main:0}:reindex:driver')
  expect(new Set(Object.values(keys).map(hashTag))).toEqual(new Set(['main:0']))
})

test('all keys of a partition share one hash tag, and no other partition has a key of the same name', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constant(''), name),
      name,
      fc.integer({ min: 1, max: 20 }),
      (namespace, stream, count) => {
        const partitions = partitionsOf(namespace, stream, count)
        for (const { keys } of partitions) {
          expect(new Set(Object.values(keys).map(hashTag)).size).toBe(1)
        }
        expect(new Set(partitions.flatMap(({ keys }) => Object.values(keys))).size).toBe(10 * count)
      },
    ),
  )
})

test('names that would change the hash tag are refused', () => {
  expect(nameProblem('products')).toBeUndefined()
  expect(nameProblem('')).toMatch(/empty/)
  for (const wrong of ['a{b', 'a}b', 'a b', 'a\tb', 'a\nb']) expect(nameProblem(wrong)).toMatch(/brace/)
})
