import { describe, expect, test } from 'vitest'

import type { Place } from '../../src/place.ts'
import { compare, type Look, type Reading, type Spot, type Stored, type Wish } from '../../src/verify/look.ts'
import { judge } from '../../src/verify/judge.ts'
import { stateBefore } from '../../src/verify/queue.ts'

const spot: Spot = { key: '1', isKey: true }
const place = { id: '1' }
const nothing = new Set<string>()

function stored(version: number, source: object): Stored {
  return { version, source, revision: { if_seq_no: version, if_primary_term: 1 } }
}

function look(name: string | undefined, document: { version: number; name: string } | undefined): Look {
  const wish = name === undefined ? undefined : { place, source: JSON.stringify({ name }) }
  const found = document && stored(document.version, { name: document.name })
  return compare(spot, { place, stored: found, wish }, nothing)
}

describe('one look', () => {
  test.each([
    [look('Rome', { version: 1, name: 'Rome' }), undefined],
    [look(undefined, undefined), undefined],
    [look('Rome', undefined), 'missing'],
    [look(undefined, { version: 1, name: 'Rome' }), 'orphaned'],
    [look('Rome', { version: 1, name: 'Roma' }), 'stale'],
    [compare(spot, { place, stored: undefined, wish: { place, failure: 'no' } }, nothing), 'unindexable'],
    [
      compare(spot, { place, stored: stored(1, {}), wish: { place, source: undefined } }, nothing),
      'orphaned',
    ],
  ])('%#', (found, kind) => {
    expect(found.finding?.kind).toBe(kind)
  })
})

describe('one look where documents move', () => {
  const here = { id: 'here-1', routing: 'a' }
  const there = { id: 'there-1', routing: 'b' }
  const rome = stored(1, { name: 'Rome' })
  const source = JSON.stringify({ name: 'Rome' })
  const ofRow = (reading: Reading): Look => compare(spot, reading, nothing)
  const at = (where: Place, wish: Wish | undefined): Look =>
    compare({ ...spot, place: where }, { place: where, stored: rome, wish }, nothing)

  test.each<[string, Look, string | undefined]>([
    ['at home', ofRow({ place: here, stored: rome, wish: { place: here, source } }), undefined],
    ['not at home', ofRow({ place: here, stored: undefined, wish: { place: here, source } }), 'missing'],
    ['left behind', at(there, { place: here, source }), 'orphaned'],
    ['left behind by a row that shall have none', at(there, { place: here, source: undefined }), 'orphaned'],
    ['left behind by a row that cannot be indexed', at(there, { place: here, failure: 'no' }), 'orphaned'],
    ['of a row that is gone', at(there, undefined), 'orphaned'],
    ['of a row that has come there', at(there, { place: there, source }), undefined],
    ['of a row that cannot say where', at(there, { place: undefined, failure: 'no' }), undefined],
  ])('a document %s', (_, found, kind) => {
    expect(found.finding?.kind).toBe(kind)
  })

  test('a row that moves between the look for its place and the look at it has changed', () => {
    const moving = ofRow({ place: there, stored: rome, wish: { place: here, source } })
    expect(moving.version).toBeUndefined()
    const moved = ofRow({ place: here, stored: undefined, wish: { place: here, source } })
    expect(judge(moving, moved)).toBe('changing')
    expect(judge(moved, moved)).toBe('differs')
  })

  test('what a row says of its document does not concern what it left behind', () => {
    const other = JSON.stringify({ name: 'Roma' })
    expect(judge(at(there, { place: here, source }), at(there, { place: here, source: other }))).toBe(
      'differs',
    )
    const back = at(there, { place: { id: 'back-1' }, source })
    expect(judge(at(there, { place: here, source }), back)).toBe('changing')
  })
})

describe('two looks, the queue having passed the first in between', () => {
  const old = { version: 1, name: 'Rome' }
  test.each([
    ['the document has caught up', look('Roma', old), look('Roma', { version: 2, name: 'Roma' }), 'in step'],
    ['nothing has changed', look('Roma', old), look('Roma', old), 'differs'],
    ['the document is still not there', look('Roma', undefined), look('Roma', undefined), 'differs'],
    ['the row has changed', look('Roma', old), look('Romae', old), 'changing'],
    ['it was written for another change', look('C', old), look('C', { version: 2, name: 'B' }), 'changing'],
    ['the row is gone', look('Roma', old), look(undefined, old), 'changing'],
  ] as const)('%s', (_, first, second, judgement) => {
    expect(judge(first, second)).toBe(judgement)
  })
})

describe('a group has passed an entry', () => {
  test.each([
    ['5-0', undefined, true],
    ['9-0', undefined, true],
    // As numbers: "10-0" is after "9-0".
    ['10-0', '6-0', true],
    ['10-0', '5-0', false],
    ['10-0', '4-9', false],
    ['4-0', undefined, false],
    ['4-0', '3-0', false],
  ] as const)('read up to %s, oldest pending %s', (lastDelivered, oldestPending, done) => {
    expect(stateBefore({ lastDelivered, oldestPending }, '5-0') === undefined).toBe(done)
  })

  test('a group that is not there has passed nothing', () => {
    expect(stateBefore(undefined, '5-0')).toBeDefined()
  })

  test('what it reads beyond the entry is no progress', () => {
    const at = (lastDelivered: `${number}-0`) => stateBefore({ lastDelivered, oldestPending: '4-0' }, '5-0')
    expect(at('4-0')).not.toBe(at('5-0'))
    expect(at('6-0')).toBe(at('5-0'))
  })
})
