import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { compareStreamIds, type StreamId } from '../../src/streams/stream-id.ts'
import { trimPoint, type GroupProgress } from '../../src/streams/trim-point.ts'

const group = (name: string, lastDelivered: StreamId, oldestPending?: StreamId): GroupProgress => ({
  name,
  lastDelivered,
  oldestPending,
})

test('cuts after the last entry that every group has done', () => {
  const groups = [group('index', '40-0'), group('cache', '30-0')]
  expect(trimPoint(groups, [], undefined)).toEqual({ before: '30-1', heldBackBy: 'cache' })
})

test('an entry that is given out and not acknowledged is kept, with all after it', () => {
  const groups = [group('index', '40-0', '9-0'), group('cache', '30-0')]
  expect(trimPoint(groups, [], undefined)).toEqual({ before: '9-0', heldBackBy: 'index' })
})

test('ids are compared as numbers: a group at 9-0 holds back one at 10-0', () => {
  const groups = [group('index', '10-0'), group('cache', '9-0')]
  expect(trimPoint(groups, [], undefined)).toEqual({ before: '9-1', heldBackBy: 'cache' })
})

test('a group that has read nothing holds everything', () => {
  const groups = [group('index', '40-0'), group('new', '0-0')]
  expect(trimPoint(groups, [], undefined)).toEqual({ before: '0-1', heldBackBy: 'new' })
})

test('an expected group that does not exist yet holds everything', () => {
  const point = trimPoint([group('index', '40-0')], ['index', 'cascade'], undefined)
  expect(point).toEqual({ before: undefined, heldBackBy: 'cascade' })
  expect(trimPoint([], ['index'], '50-0')).toEqual({ before: undefined, heldBackBy: 'index' })
})

test('without any group nothing goes', () => {
  expect(trimPoint([], [], '50-0').before).toBeUndefined()
})

test('retention keeps what every group has done, but never lets go of what some group needs', () => {
  const groups = [group('index', '40-0')]
  expect(trimPoint(groups, ['index'], '20-0')).toEqual({ before: '20-0', heldBackBy: undefined })
  expect(trimPoint(groups, ['index'], '90-0')).toEqual({ before: '40-1', heldBackBy: 'index' })
})

/** A stream of entries, and groups that have been given the first few and have acknowledged some of these. */
interface Model {
  readonly entries: readonly StreamId[]
  readonly newest: StreamId | undefined
  readonly groups: readonly { readonly progress: GroupProgress; readonly needs: readonly StreamId[] }[]
}

const idArbitrary = fc
  .tuple(fc.nat({ max: 200 }), fc.nat({ max: 20 }))
  .filter(([ms, sequence]) => ms + sequence > 0)
  .map(([ms, sequence]): StreamId => `${ms}-${sequence}`)
const modelArbitrary: fc.Arbitrary<Model> = fc
  .record({
    entries: fc
      .uniqueArray(idArbitrary, { maxLength: 20 })
      .map((ids) => ids.sort((a, b) => compareStreamIds(a, b))),
    newest: fc.option(idArbitrary, { nil: undefined }),
    groups: fc.array(fc.tuple(fc.nat(), fc.array(fc.boolean(), { minLength: 20, maxLength: 20 })), {
      maxLength: 4,
    }),
  })
  .map(({ entries, newest, groups }) => ({
    entries,
    newest,
    groups: groups.map(([seed, acknowledged], index) => {
      const delivered = seed % (entries.length + 1)
      const pending = entries.filter((_, position) => position < delivered && !acknowledged[position])
      return {
        progress: group(`g${index}`, entries[delivered - 1] ?? '0-0', pending[0]),
        needs: [...pending, ...entries.slice(delivered)],
      }
    }),
  }))

test('never cuts what some group needs or retention keeps, and cuts everything before that', () => {
  fc.assert(
    fc.property(modelArbitrary, ({ entries, newest, groups }) => {
      const { before, heldBackBy } = trimPoint(
        groups.map(({ progress }) => progress),
        [],
        newest,
      )
      const isKept = (id: StreamId): boolean => before === undefined || compareStreamIds(id, before) >= 0
      const isNeeded = (id: StreamId): boolean =>
        groups.length === 0 ||
        groups.some(({ needs }) => needs.includes(id)) ||
        (newest !== undefined && compareStreamIds(id, newest) >= 0)
      const firstNeeded = entries.findIndex(isNeeded)
      const expected = firstNeeded === -1 ? [] : entries.slice(firstNeeded)
      expect(entries.filter(isKept)).toEqual(expected)
      // Whom it names as the cause is one that needs the oldest entry, when any group needs it.
      const holders = groups.filter(({ needs }) => expected[0] !== undefined && needs.includes(expected[0]))
      if (holders.length > 0 && heldBackBy !== undefined)
        expect(holders.map(({ progress }) => progress.name)).toContain(heldBackBy)
    }),
    { numRuns: 500 },
  )
})
