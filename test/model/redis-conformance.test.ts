import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { partitionsOf, type Lane } from '../../src/streams/keys.ts'
import type { Message } from '../../src/streams/message.ts'
import { useStreams } from '../support/streams.ts'
import { runsFor, seed } from './evidence.ts'
import type { Command } from './redis-command.ts'
import { FakeSide } from './redis-fake-side.ts'
import { RealSide } from './redis-real-side.ts'

/** The fake Redis and the real one, with the real scripts, answer the same and end up the same, command by command. */

const open = useStreams()

const lane = fc.constantFrom<Lane>('main', 'main', 'main', 'main', 'bulk')
const group = fc.constantFrom('index', 'index', 'index', 'index', 'watch')
const consumer = fc.constantFrom('anna', 'ben')
const row = fc.constantFrom('a', 'b', 'c', 'd')
const target = fc.constantFrom('old', 'new')
const message = fc
  .record({ id: row, payload: fc.constantFrom(undefined, '{"a":1}', 'id') })
  .map(({ id, payload }): Message => (payload === undefined ? { id } : { id, payload }))
const messages = fc.array(message, { minLength: 1, maxLength: 4 })
const noMessages = fc.array(message, { maxLength: 4 })
/** Which of the entries that ever were; modulo their number. */
const entry = fc.nat({ max: 11 })
const entries = fc.array(entry, { minLength: 1, maxLength: 6 })
const noEntries = fc.array(entry, { maxLength: 6 })

function often(weight: number, arbitrary: fc.Arbitrary<Command>): fc.WeightedArbitrary<Command> {
  return { weight, arbitrary }
}

function kind<const K extends Command['kind']>(name: K): fc.Arbitrary<K> {
  return fc.constant(name)
}

const letterTicket = fc.integer({ min: 4_000_000_000_000_001, max: 4_000_000_000_000_003 })

const command: fc.Arbitrary<Command> = fc.oneof(
  often(2, fc.record({ kind: kind('delay'), messages })),
  often(4, fc.record({ kind: kind('delayOld'), messages })),
  often(5, fc.record({ kind: kind('publish'), lane, messages: noMessages, entries: noEntries })),
  often(2, fc.record({ kind: kind('move'), lane, entries })),
  often(1, fc.record({ kind: kind('discard'), entries })),
  often(
    3,
    fc.record({
      kind: kind('requeueDue'),
      lane,
      hours: fc.nat({ max: 6 }),
      limit: fc.integer({ min: 1, max: 6 }),
    }),
  ),
  often(1, fc.record({ kind: kind('createGroup'), group })),
  often(8, fc.record({ kind: kind('read'), lane, group, consumer, count: fc.integer({ min: 1, max: 4 }) })),
  often(6, fc.record({ kind: kind('claim'), lane, group, consumer, idle: fc.boolean(), entries })),
  often(
    4,
    fc.record({
      kind: kind('settle'),
      lane,
      group,
      entries: noEntries,
      resolved: fc.array(row, { maxLength: 2 }),
      ticket: letterTicket,
    }),
  ),
  often(
    3,
    fc.record({
      kind: kind('bury'),
      row,
      ticket: letterTicket,
      type: fc.constantFrom('x', 'y'),
      most: fc.integer({ min: 1, max: 3 }),
    }),
  ),
  often(2, fc.record({ kind: kind('leave'), lane, group, consumer })),
  often(2, fc.record({ kind: kind('trim'), lane })),
  // Somebody else cuts the stream, whatever is pending.
  often(1, fc.record({ kind: kind('cut'), lane, entry })),
  often(4, fc.record({ kind: kind('ticket'), above: fc.constantFrom(0, 0, 3e15, 4e15) })),
  often(1, fc.record({ kind: kind('loseTicket') })),
  often(1, fc.record({ kind: kind('addTarget'), target })),
  often(1, fc.record({ kind: kind('removeTarget'), target })),
)

test('the fake Redis means the same as the real one', async () => {
  const { redis, namespace } = await open()
  let sequences = 0
  let commands = 0
  const clock = async (): Promise<number> => {
    const [seconds, micros] = await redis.time()
    return Number(seconds) * 1_000_000 + Number(micros)
  }
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 20, maxLength: 60, size: 'max' }), async (sequence) => {
      const [partition] = partitionsOf(`${namespace}-${sequences++}`, 'cities', 1)
      const start = Math.floor((await clock()) / 1_000)
      const real = new RealSide(redis, partition!, start)
      const fake = new FakeSide(start)
      for (const next of [{ kind: 'createGroup', group: 'index' } as const, ...sequence]) {
        fake.clockIs(await clock())
        const answer = await real.run(next)
        expect(fake.run(next, answer), `answer to ${JSON.stringify(next)}`).toEqual(answer)
        expect(fake.state(), `state after ${JSON.stringify(next)}`).toEqual(await real.state())
        commands++
      }
    }),
    { numRuns: runsFor(40), seed },
  )
  console.info(`the fake Redis: ${commands} commands on both sides, seed ${seed}`)
})
