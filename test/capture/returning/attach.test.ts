import { QueryBuilder, UpdateQueryBuilder } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { buildersOf } from '../../../src/capture/returning/builder-hooks.ts'
import { methodProblem, statementProblem } from '../../../src/capture/returning/shape.ts'
import { Item, openShop, type Shop } from './shop.ts'

let shop: Shop

beforeAll(async () => {
  shop = await openShop()
})
afterAll(() => shop.dispose())

/** Everything that is on TypeORM's builders at this moment. */
const shape = (): unknown[] =>
  buildersOf(shop.dataSource).map((prototype) => Object.getOwnPropertyDescriptors(prototype))

describe('the inside of this version of TypeORM', () => {
  test('has the methods that are wrapped', () => {
    expect(methodProblem(shop.dataSource)).toBeUndefined()
  })

  test('takes what is added to its statements', async () => {
    await shop.attach()
    for (const metadata of shop.dataSource.entityMetadatas) {
      expect(statementProblem(shop.dataSource, metadata), metadata.name).toBeUndefined()
    }
  })

  test('is as it was after close()', async () => {
    const { redstream } = await shop.attach()
    await redstream.close()
    const before = shape()
    const again = await shop.attach()
    expect(shape()).not.toEqual(before)
    await again.redstream.close()
    expect(shape()).toEqual(before)
  })

  test('and the wrapper of somebody else around ours goes on to work', async () => {
    await shop.fill()
    const before = shape()
    const { redstream } = await shop.attach()
    const prototype = UpdateQueryBuilder.prototype as unknown as { execute(this: object): Promise<unknown> }
    const ours = prototype.execute
    let calls = 0
    prototype.execute = function (this: object) {
      calls++
      return ours.call(this)
    }
    try {
      await redstream.close()
      await shop.dataSource.manager.update(Item, 1, { stock: 5 })
      expect(calls).toBe(1)
      expect(await shop.dataSource.manager.countBy(Item, { stock: 5 })).toBe(1)
    } finally {
      Object.defineProperty(prototype, 'execute', { value: ours, configurable: true, writable: true })
    }
    // What had to stay is not wrapped a second time, and goes with the next close().
    const again = await shop.attach({ delay: { requeue: 'always' } })
    await shop.dataSource.manager.update(Item, 2, { stock: 5 })
    expect([await again.delayed(), await again.published()]).toEqual([['items:2'], ['items:2']])
    await again.redstream.close()
    expect(shape()).toEqual(before)
  })
})

describe('when the inside of TypeORM is not what it was', () => {
  type Inside = Record<string, (this: object) => string>

  /** Attaches to a TypeORM that differs in one method. */
  async function attachChanged(
    prototype: object,
    name: string,
    change: (original: Inside[string]) => unknown,
  ) {
    const inside = prototype as Inside
    const original = inside[name]!
    await shop.fill()
    const before = shape()
    Object.assign(inside, { [name]: change(original) })
    try {
      return await shop.attach({ uncaptured: 'ignore' })
    } finally {
      Object.defineProperty(inside, name, { value: original, configurable: true, writable: true })
      expect(shape()).toEqual(before)
    }
  }

  test.each([
    [
      'a method that is gone',
      () => attachChanged(QueryBuilder.prototype, 'createReturningExpression', () => undefined),
      /has no createReturningExpression/,
    ],
    [
      'a statement that is made in another way',
      () =>
        attachChanged(
          UpdateQueryBuilder.prototype,
          'createUpdateExpression',
          (original) =>
            function (this: object) {
              return original.call(this).replace(/ RETURNING .*/, '')
            },
        ),
      /the update .* does not take/,
    ],
  ])('%s: one warning, and what events tell is published', async (_, attach, problem) => {
    const app = await attach()
    expect(app.log).toMatchObject([
      { level: 'warn', facts: { problem: expect.stringMatching(problem) as string } },
    ])
    await shop.dataSource.manager.save(Item, { id: 1, stock: 5 })
    await shop.dataSource.manager.update(Item, { id: 2 }, { stock: 5 })
    expect(await app.published()).toEqual(['items:1'])
    await app.redstream.close()
  })
})
