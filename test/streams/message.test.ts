import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { decodeMessages, encodeMessage, type Message } from '../../src/streams/message.ts'

const text = fc.string({ unit: 'binary' })
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ id: text }),
  fc.record({ id: text, payload: text }),
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
    .filter(([name]) => name !== 'id' && name !== 'payload')
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
