import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { decodeMessages, encodeMessage, mergeMessages, type Message } from '../../src/streams/message.ts'

const text = fc.string({ unit: 'binary' })
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ id: text }),
  fc.record({ id: text, payload: text }),
  fc.record({ id: text, before: fc.array(text, { minLength: 1 }), derived: fc.constant(true as const) }),
  fc.record({ id: text, places: fc.array(text, { minLength: 1 }) }),
)

test('any messages come back as they were, several of one entry too', () => {
  fc.assert(
    fc.property(fc.array(message), (all) => {
      expect(decodeMessages(all.flatMap(encodeMessage))).toEqual(all)
    }),
  )
})

test('fields that a newer version may write are passed over', () => {
  const unknown = fc
    .tuple(text, text)
    .filter(([name]) => !['id', 'payload', 'before', 'place', 'derived'].includes(name))
    .map((field) => [...field])
  const field = fc.array(unknown, { maxLength: 3 })
  fc.assert(
    fc.property(field, fc.array(fc.tuple(message, field)), (before, all) => {
      const fields = [
        ...before,
        ...all.flatMap(([one, more]) => [...encodeMessage(one), ...more.flat()]).flat(),
      ]
      expect(decodeMessages(fields.flat())).toEqual(all.map(([one]) => one))
    }),
  )
})

test('names of fields are not looked for among the values', () => {
  expect(decodeMessages(['id', 'id', 'payload', 'payload'])).toEqual([{ id: 'id', payload: 'payload' }])
})

test('fields without a message, and half a field, give none', () => {
  expect(decodeMessages([])).toEqual([])
  expect(decodeMessages(['payload', '{}'])).toEqual([])
  expect(decodeMessages(['id'])).toEqual([])
})

test('two messages of a row: the later wins, and the places of both count', () => {
  const merge = (earlier: Partial<Message>, later: Partial<Message>): Message =>
    mergeMessages({ id: 'a', ...earlier }, { id: 'a', ...later })
  expect(merge({}, {})).toEqual({ id: 'a' })
  expect(merge({ places: ['1'] }, { places: ['2', '1'] })).toEqual({ id: 'a', places: ['1', '2'] })
  // Who does not tell a place leaves it open.
  expect(merge({}, { places: ['1'] })).toEqual({ id: 'a', places: ['?', '1'] })
  expect(merge({ places: ['1'] }, { payload: '{}' })).toEqual({ id: 'a', payload: '{}', places: ['1', '?'] })
})

test('a change of the row wins over one of what its document embeds', () => {
  const changed: Message = { id: '1', payload: 'old' }
  const derived: Message = { id: '1', derived: true }
  expect(mergeMessages(changed, derived)).toEqual(changed)
  expect(mergeMessages(derived, changed)).toEqual(changed)
  expect(mergeMessages(derived, derived)).toEqual(derived)
})

test('no former foreign key is forgotten, in whatever order messages are merged', () => {
  const before = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 })
  fc.assert(
    fc.property(fc.array(fc.record({ id: fc.constant('1'), before }), { minLength: 1 }), (messages) => {
      const merged = messages.reduce<Message>(mergeMessages, { id: '1', derived: true })
      expect(new Set(merged.before)).toEqual(new Set(messages.flatMap((message) => message.before)))
      expect(merged.derived).toBeUndefined()
    }),
  )
})
