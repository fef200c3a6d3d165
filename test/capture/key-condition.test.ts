import { describe, expect, test } from 'vitest'

import { keyBound, keyCondition } from '../../src/capture/key-condition.ts'

describe('keyCondition', () => {
  test('one parameter where arrays can be one', () => {
    expect(keyCondition(['t.id'], [[1], ['2'], [3n]], true)).toEqual({
      sql: 't.id = ANY(:keys)',
      parameters: { keys: [1, '2', '3'] },
    })
  })

  test('a list elsewhere', () => {
    expect(keyCondition(['t.id'], [[1], [2]], false)).toEqual({
      sql: 't.id IN (:...keys)',
      parameters: { keys: [1, 2] },
    })
  })

  test('alternatives for composite keys', () => {
    const keys = [
      [1, 'a'],
      [2, 'b'],
    ]
    expect(keyCondition(['t.x', 't.y'], keys, true)).toEqual({
      sql: '(t.x = :k0_0 AND t.y = :k0_1) OR (t.x = :k1_0 AND t.y = :k1_1)',
      parameters: { k0_0: 1, k0_1: 'a', k1_0: 2, k1_1: 'b' },
    })
  })
})

describe('keyBound', () => {
  const parameters = { after0: 1, after1: 'b' }

  test('a comparison of rows', () => {
    expect(keyBound(['t.x', 't.y'], [1, 'b'], 'after', true)).toEqual({
      sql: '(t.x, t.y) > (:after0, :after1)',
      parameters,
    })
  })

  test('written out elsewhere', () => {
    expect(keyBound(['t.x', 't.y'], [1, 'b'], 'after', false)).toEqual({
      sql: 't.x >= :after0 AND ((t.x > :after0) OR (t.x = :after0 AND t.y > :after1))',
      parameters,
    })
  })
})
