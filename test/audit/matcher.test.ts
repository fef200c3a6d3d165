import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { Matcher, type SeenChange } from '../../src/audit/matcher.ts'

interface Outcome {
  readonly told: SeenChange[]
  readonly missed: SeenChange[]
}

function matcher(): Matcher & Outcome {
  const told: SeenChange[] = []
  const missed: SeenChange[] = []
  const judge = {
    told: (change: SeenChange) => void told.push(change),
    missed: (change: SeenChange) => void missed.push(change),
  }
  return Object.assign(new Matcher(judge), { told, missed })
}

const change = (key: string, committedMs: number, streams: readonly string[] = ['cities']): SeenChange => ({
  table: 'cities',
  kind: 'update',
  isCertain: true,
  capture: 'subscriber',
  committedMs,
  wanted: streams.map((stream) => ({ stream, key })),
})
const rome = { stream: 'cities', key: '1' }

describe('a change', () => {
  it('is told of by a message that was written after it, whichever is heard of first', () => {
    const [late, early] = [matcher(), matcher()]
    late.seen(change('1', 100))
    late.heard(rome, 100)
    early.heard(rome, 100)
    early.seen(change('1', 100))
    for (const { told, open } of [late, early]) expect([told.length, open]).toEqual([1, 0])
  })

  it('is not told of by a message that was written before it, or that is of another row or stream', () => {
    const found = matcher()
    found.heard(rome, 99)
    found.seen(change('1', 100))
    found.heard({ stream: 'cities', key: '2' }, 200)
    found.heard({ stream: 'countries', key: '1' }, 200)
    expect(found.told).toEqual([])
    found.giveUp(101, () => false)
    expect(found.missed).toEqual([change('1', 100)])
  })

  it('is told of with those before it', () => {
    const found = matcher()
    for (const committedMs of [1, 2, 3, 40]) found.seen(change('1', committedMs))
    found.heard(rome, 3)
    expect(found.told.map(({ committedMs }) => committedMs)).toEqual([1, 2, 3])
    expect(found.open).toBe(1)
  })

  it('is told of by any stream of its source, once', () => {
    const found = matcher()
    found.seen(change('1', 5, ['towns', 'cities']))
    found.heard(rome, 5)
    found.heard({ stream: 'towns', key: '1' }, 5)
    found.giveUp(Infinity, () => false)
    expect([found.told.length, found.missed.length, found.open]).toEqual([1, 0, 0])
  })

  it('is given up when it is overdue, and not while a message is on its way', () => {
    const found = matcher()
    for (const [key, committedMs] of [
      ['1', 10],
      ['2', 10],
      ['3', 20],
    ] as const)
      found.seen(change(key, committedMs))
    expect([...found.overdue(20)].map(({ key }) => key)).toEqual(['1', '2'])
    found.giveUp(20, ({ wanted }) => wanted[0]!.key === '2')
    expect(found.missed).toEqual([change('1', 10)])
    expect([...found.undecided()]).toEqual([change('2', 10), change('3', 20)])
  })
})

/** What happens to some rows, in time: a commit, or a message. */
const history = fc.array(
  fc.record({ what: fc.constantFrom('commit', 'message'), key: fc.constantFrom('1', '2'), atMs: fc.nat(30) }),
  { maxLength: 40 },
)

it('judges by the times alone: in whatever order it hears, and whatever it forgets', () => {
  fc.assert(
    fc.property(history, fc.infiniteStream(fc.boolean()), (events, prefersShadow) => {
      const inTime = events.toSorted((a, b) => a.atMs - b.atMs)
      // The log and the streams are each read in their own order, one ahead of the other or behind.
      const commits = inTime.filter(({ what }) => what === 'commit')
      const messages = inTime.filter(({ what }) => what === 'message')
      const found = matcher()
      while (commits.length > 0 || messages.length > 0) {
        const [commit, message] = [commits[0], messages[0]]
        if (commit !== undefined && (message === undefined || prefersShadow.next().value === true)) {
          commits.shift()
          found.seen(change(commit.key, commit.atMs))
        } else if (message !== undefined) {
          messages.shift()
          found.heard({ stream: 'cities', key: message.key }, message.atMs)
        }
        // Everything up to the next commit is told.
        found.forgetMessagesBefore(commits[0]?.atMs ?? Infinity)
      }
      found.giveUp(Infinity, () => false)

      const isTold = ({ key, atMs }: (typeof events)[number]): boolean =>
        events.some((other) => other.what === 'message' && other.key === key && other.atMs >= atMs)
      const expected = events.filter(({ what }) => what === 'commit')
      const keysAt = (changes: readonly SeenChange[]): string[] =>
        changes.map(({ wanted, committedMs }) => `${wanted[0]!.key} ${committedMs}`).toSorted()
      const wanted = (told: boolean): string[] =>
        expected
          .filter((one) => isTold(one) === told)
          .map(({ key, atMs }) => `${key} ${atMs}`)
          .toSorted()
      expect(keysAt(found.told)).toEqual(wanted(true))
      expect(keysAt(found.missed)).toEqual(wanted(false))
      expect(found.open).toBe(0)
    }),
    { numRuns: 500 },
  )
})
