import { beforeAll, describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { DataSource, type EntityTarget } from 'typeorm'

import { keyOf, keyProblem, parseKey, partitionOf } from '../../src/capture/row-key.ts'
import {
  BigKey,
  Bytes,
  Embedded,
  Guid,
  Joined,
  keyEntities,
  Opaque,
  Passport,
  Reading,
  Ticket,
  Whole,
} from '../sync/key-entities.ts'

/** Metadata alone: nothing connects. */
class Unconnected extends DataSource {
  read(): Promise<void> {
    return this.buildMetadatas()
  }
}

const dataSource = new Unconnected({ type: 'postgres', entities: keyEntities })
beforeAll(() => dataSource.read())

const key = (entity: EntityTarget<object>, id: unknown): string | undefined =>
  keyOf(dataSource.getMetadata(entity), id)
const parse = (entity: EntityTarget<object>, text: string): unknown =>
  parseKey(dataSource.getMetadata(entity), text)

describe('keyOf', () => {
  test('an SQL expression is no key: what it will give is not known', () => {
    expect(key(Whole, { id: () => 'next_id()' })).toBeUndefined()
    expect(key(Joined, { a: 'x', b: () => "upper('y')" })).toBeUndefined()
  })

  test('takes a scalar, a map of ids, or an entity', () => {
    expect(key(Whole, 5)).toBe('5')
    expect(key(Whole, { id: 5 })).toBe('5')
    expect(key(Whole, Object.assign(new Whole(), { id: 5, broken: 'x' }))).toBe('5')
    expect(key(Joined, { a: 'x', b: 'y' })).toBe('x:y')
    expect(key(Embedded, { key: { x: 1, y: 'y' } })).toBe('1:y')
  })

  test('a relation that is the key, as an id or as an entity', () => {
    expect(key(Passport, 7)).toBe('7')
    expect(key(Passport, { owner: 7 })).toBe('7')
    expect(key(Passport, { owner: { id: 7 } })).toBe('7')
  })

  test('is undefined if a part is missing', () => {
    for (const id of [undefined, null, {}, { id: null }, { id: undefined }])
      expect(key(Whole, id)).toBeUndefined()
    for (const id of ['x', { a: 'x' }, { a: 'x', b: null }]) expect(key(Joined, id)).toBeUndefined()
    expect(key(Embedded, { key: { x: 1 } })).toBeUndefined()
    expect(key(Embedded, {})).toBeUndefined()
    expect(key(Opaque, Object.assign(new Opaque(), {}))).toBeUndefined()
  })

  test('zero, false and the empty text are values', () => {
    expect(key(Whole, 0)).toBe('0')
    expect(key(Joined, { a: '', b: '0' })).toBe(':0')
  })

  test('one text for what the database holds as one value', () => {
    expect(key(Whole, '007')).toBe('7')
    expect(key(Whole, '+7')).toBe('7')
    expect(key(Whole, -0)).toBe('0')
    expect(key(Whole, '-0')).toBe('0')
    expect(key(Guid, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')).toBe('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')
    expect(key(Joined, { a: '007', b: 'A' })).toBe('007:A')
    expect(key(BigKey, 9007199254740993n)).toBe('9007199254740993')
    const at = new Date('2024-02-29T12:00:00Z')
    const reading = { sensor: 's', at, day: new Date(2024, 1, 29), good: true }
    expect(key(Reading, reading)).toBe('s:2024-02-29T12%3A00%3A00.000Z:2024-02-29:true')
    expect(key(Reading, { ...reading, day: '2024-02-29' })).toBe(key(Reading, reading))
    expect(key(Reading, { ...reading, at: new Date(NaN) })).toBeUndefined()
  })

  test('bytes as hexadecimal, ids of a class by their text', () => {
    expect(key(Bytes, Buffer.from([0, 255]))).toBe('00ff')
    expect(key(Opaque, new Ticket(3))).toBe('#3')
    expect(key(Opaque, { id: new Ticket(3) })).toBe('#3')
  })

  test('refuses objects without a text, which would all have the same key', () => {
    expect(() => key(Whole, { id: { n: 1 } })).toThrow(
      /^Whole\.id is part of the primary key and holds an object/,
    )
  })
})

describe('parseKey', () => {
  test('is the inverse of keyOf', () => {
    const part = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('%', ':', '%3A', '%25', '%:', '::', ''),
    )
    fc.assert(
      fc.property(part, part, (a, b) => {
        expect(parse(Joined, key(Joined, { a, b }) ?? '')).toEqual({ a, b })
      }),
    )
    fc.assert(
      fc.property(fc.integer(), part, (x, y) => {
        expect(parse(Embedded, key(Embedded, { key: { x, y } }) ?? '')).toEqual({ key: { x: String(x), y } })
      }),
    )
    fc.assert(
      fc.property(part, (text) => {
        expect(parse(Bytes, text)).toEqual({ id: text })
      }),
    )
  })

  test('different ids have different keys', () => {
    const part = fc.stringMatching(/^[a:%235A]{0,4}$/)
    fc.assert(
      fc.property(part, part, part, part, (a, b, c, d) => {
        expect(key(Joined, { a, b }) === key(Joined, { a: c, b: d })).toBe(a === c && b === d)
      }),
      { numRuns: 1000 },
    )
  })

  test('too few or too many parts are no key', () => {
    expect(parse(Joined, 'a')).toBeUndefined()
    expect(parse(Joined, 'a:b:c')).toBeUndefined()
    expect(parse(Guid, 'a:b')).toEqual({ id: 'a:b' })
  })
})

describe('keyProblem', () => {
  test('names what Elasticsearch refuses', () => {
    expect(keyProblem('x'.repeat(512))).toBeUndefined()
    expect(keyProblem('x'.repeat(513))).toMatch(/513 bytes/)
    expect(keyProblem('é'.repeat(256))).toBeUndefined()
    expect(keyProblem('é'.repeat(257))).toMatch(/514 bytes/)
    expect(keyProblem('')).toMatch(/empty/)
  })
})

describe('partitionOf', () => {
  test('is frozen', () => {
    const vectors: [string, number][] = [
      ['', 0],
      ['1', 2212294583],
      ['123456789', 0xcbf43926],
      ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 2910716992],
      ['ü:日本', 2625404600],
    ]
    expect(vectors.map(([text]) => partitionOf(text, 2 ** 32))).toEqual(vectors.map(([, hash]) => hash))
  })

  test('is within the partitions, and always the same', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 64 }), (text, partitions) => {
        const partition = partitionOf(text, partitions)
        expect(partition).toBeGreaterThanOrEqual(0)
        expect(partition).toBeLessThan(partitions)
        expect(partitionOf(text, partitions)).toBe(partition)
      }),
    )
  })

  test.each([2, 3, 4, 8, 16])('spreads counted ids evenly over %i partitions', (partitions) => {
    const counts = Array<number>(partitions).fill(0)
    for (let id = 1; id <= 8000; id++) counts[partitionOf(String(id), partitions)]! += 1
    const share = 8000 / partitions
    for (const count of counts) expect(Math.abs(count - share) / share).toBeLessThan(0.15)
  })
})
