import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { finishedEntries, latestMessages } from '../../src/streams/batch.ts'
import { encodeMessage, type Message } from '../../src/streams/message.ts'
import type { Entry } from '../../src/streams/replies.ts'

function entriesOf(groups: readonly (readonly Message[])[]): Entry[] {
  return groups.map((all, index) => ({ id: `${index + 1}-0`, fields: all.flatMap(encodeMessage) }))
}

const message = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), payload: fc.string() })
const entries = fc.array(fc.array(message, { maxLength: 3 }), { maxLength: 12 }).map(entriesOf)

test('each row comes once, with its latest payload, in the order of its last change', () => {
  const batch = entriesOf([
    [{ id: 'a', payload: '1' }],
    [{ id: 'b', payload: '2' }],
    [{ id: 'a', payload: '3' }, { id: 'c' }],
    [{ id: 'c', payload: '4' }],
  ])
  expect(latestMessages(batch)).toEqual([
    { id: 'b', payload: '2' },
    { id: 'a', payload: '3' },
    { id: 'c', payload: '4' },
  ])
})

test('a later message without a payload replaces an earlier one that has one', () => {
  expect(latestMessages(entriesOf([[{ id: 'a', payload: 'old' }], [{ id: 'a' }]]))).toEqual([{ id: 'a' }])
})

test('no row is forgotten, none comes twice', () => {
  fc.assert(
    fc.property(entries, (batch) => {
      const ids = latestMessages(batch).map(({ id }) => id)
      const all = batch.flatMap(({ fields }) => fields.filter((_, index) => fields[index - 1] === 'id'))
      expect(new Set(ids)).toEqual(new Set(all))
      expect(ids).toHaveLength(new Set(ids).size)
    }),
  )
})

test('an entry is finished when none of its rows is left to do', () => {
  const batch = entriesOf([[{ id: 'a' }], [{ id: 'a' }, { id: 'b' }], [{ id: 'c' }], [{ id: 'a' }]])
  const finished = finishedEntries(batch, new Set(['b', 'x']))
  expect(finished.map(({ id }) => id)).toEqual(['1-0', '3-0', '4-0'])
})

test('what is finished and what is left make up the batch, and every row to do is among what is left', () => {
  fc.assert(
    fc.property(entries, fc.subarray(['a', 'b', 'c', 'd']), (batch, rows) => {
      const remaining = new Set(rows)
      const finished = finishedEntries(batch, remaining)
      const left = batch.filter((entry) => !finished.includes(entry))
      for (const { id } of latestMessages(finished)) expect(remaining).not.toContain(id)
      const known = new Set(latestMessages(batch).map(({ id }) => id))
      const kept = new Set(latestMessages(left).map(({ id }) => id))
      for (const id of remaining) expect(kept.has(id)).toBe(known.has(id))
    }),
  )
})

test('an entry without messages is finished: nobody could ever do it', () => {
  const empty: Entry = { id: '1-0', fields: ['unknown', 'field'] }
  expect(latestMessages([empty])).toEqual([])
  expect(finishedEntries([empty], new Set(['a']))).toEqual([empty])
})
