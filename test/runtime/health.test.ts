import { describe, expect, it } from 'vitest'

import { healthProblems, judgeLive, judgeReady, type WatchedWorker } from '../../src/runtime/health.ts'
import type { LaneStatus, WorkerStatus } from '../../src/streams/inspect.ts'
import type { Status } from '../../src/sync/pipeline.ts'

const good: WatchedWorker = {
  kind: 'consumer',
  name: 'index of cities, partition 0',
  running: true,
  progressMs: 0.4,
  silentMs: 0,
  step: 'read',
  waitsFor: [],
}

describe('live', () => {
  it('as long as every worker gives signs of life', () => {
    expect(judgeLive([good], 60_000)).toEqual({
      ok: true,
      reasons: [],
      workers: [{ kind: 'consumer', name: 'index of cities, partition 0', progressMs: 0, waitsFor: [] }],
    })
  })

  it('while a worker fails for hours and says what it waits for', () => {
    const waiting: WatchedWorker = {
      ...good,
      progressMs: 7_200_000,
      silentMs: 900,
      waitsFor: ['Elasticsearch'],
    }
    expect(judgeLive([good, waiting], 60_000)).toMatchObject({
      ok: true,
      workers: [{}, { progressMs: 7_200_000, waitsFor: ['Elasticsearch'] }],
    })
  })

  it('no longer when one hangs', () => {
    const hanging: WatchedWorker = { ...good, progressMs: 90_000, silentMs: 61_000, step: 'load' }
    expect(judgeLive([good, hanging], 60_000)).toMatchObject({
      ok: false,
      reasons: [
        'the consumer index of cities, partition 0 hangs: it has been at the step "load" for 1 m 1 s',
      ],
    })
  })
})

describe('ready', () => {
  it('when Redis answers and the workers run, whatever one of them waits for', () => {
    const waiting: WatchedWorker = { ...good, progressMs: 90_000, waitsFor: ['Elasticsearch'] }
    expect(judgeReady([good, waiting], { redisProblem: undefined, stopping: false })).toMatchObject({
      ok: true,
      workers: [{}, { waitsFor: ['Elasticsearch'] }],
    })
  })

  it.each([
    [
      { redisProblem: 'Redis at a:1 does not answer', stopping: false },
      [good],
      ['Redis at a:1 does not answer'],
    ],
    [
      { redisProblem: undefined, stopping: true },
      [{ ...good, running: false }],
      ['this process is stopping'],
    ],
    [
      { redisProblem: undefined, stopping: false },
      [good, { ...good, kind: 'trimmer' as const, name: 'cities', running: false }],
      ['the trimmer cities does not run'],
    ],
  ])('not when %j', (state, workers, reasons) => {
    expect(judgeReady(workers, state)).toMatchObject({ ok: false, reasons })
  })
})

describe('redstream health', () => {
  const lane = (lagMs: number): LaneStatus => ({ length: 1, undelivered: 1, pending: 0, lagMs })
  const stream = (name: string, mainLagMs: number, bulkLagMs = 0): Status['streams'][number] => ({
    name,
    main: lane(mainLagMs),
    bulk: lane(bulkLagMs),
    delay: { length: 0, oldestMs: 0 },
    deadLetters: 0,
    unservedGroups: [],
  })
  const worker = (kind: string, choices: Partial<WorkerStatus> = {}): WorkerStatus => ({
    kind,
    host: 'web-1',
    pid: 7,
    seenMs: 300,
    progressMs: 600,
    ...choices,
  })
  const kinds = ['consumer', 'delayer', 'trimmer'] as const
  const all = kinds.map((kind) => worker(kind))
  const limits = { maxLagMs: 60_000, stallAfterMs: 60_000, walWarnLag: 2 ** 30 }

  it('finds nothing wrong with a lag up to the limit, a long bulk lane, or a kind that it does not know', () => {
    const status = { streams: [stream('cities', 60_000, 7_200_000)], workers: [...all, worker('seer')] }
    expect(healthProblems(status, limits, kinds)).toEqual([])
  })

  it('names every stream that is late', () => {
    const status = { streams: [stream('a', 0), stream('b', 60_001), stream('c', 90_000)], workers: all }
    const problems = healthProblems(status, limits, kinds)
    expect(problems.map(({ problem, stream }) => [problem, stream])).toEqual([
      ['lag', 'b'],
      ['lag', 'c'],
    ])
    expect(problems[1]!.message).toBe(
      'c is 1 m 30 s behind, the limit is 1 m 0 s: see `redstream status` and the log of the consumers',
    )
  })

  it('names every group that nobody serves and that something waits for', () => {
    const unservedGroups = [
      { group: 'cache', entries: 3, unservedMs: 90_000 },
      { group: 'idle', entries: 0, unservedMs: 90_000 },
    ]
    const status = { streams: [{ ...stream('cities', 0), unservedGroups }], workers: all }
    expect(healthProblems(status, limits, kinds)).toEqual([
      {
        problem: 'unserved-group',
        stream: 'cities',
        message:
          'nobody has served the consumer group cache of cities for 1 m 30 s, and 3 entries wait for it: start its ' +
          'consumers, or remove it (docs/operations.md, "Your own consumer groups")',
      },
    ])
  })

  it('names an outbox that is late, and rows in it that nobody can read', () => {
    const status = {
      streams: [],
      workers: [...all, worker('relay')],
      outbox: { length: 2, oldestMs: 60_001, setAside: 3 },
    }
    expect(healthProblems(status, limits, [...kinds, 'relay'])).toMatchObject([
      { problem: 'outbox-lag', message: expect.stringMatching(/^the outbox is 1 m 0 s behind/) },
      { problem: 'outbox-set-aside', message: expect.stringMatching(/^3 rows of the outbox cannot be read/) },
    ])
    const fine = { ...status, outbox: { length: 2, oldestMs: 60_000, setAside: 0 } }
    expect(healthProblems(fine, limits, [...kinds, 'relay'])).toEqual([])
  })

  it('a relay is missed only when one is needed', () => {
    const status = { streams: [], workers: all }
    expect(healthProblems(status, limits, kinds)).toEqual([])
    expect(healthProblems(status, limits, [...kinds, 'relay'])).toMatchObject([
      { problem: 'no-worker', kind: 'relay' },
    ])
  })

  it('names every kind of which none is alive', () => {
    const workers = [worker('consumer', { seenMs: 10_001 }), worker('trimmer')]
    expect(healthProblems({ streams: [], workers }, limits, kinds)).toMatchObject([
      {
        problem: 'no-worker',
        kind: 'consumer',
        message: expect.stringMatching(/^no consumer is alive: start/),
      },
      { problem: 'no-worker', kind: 'delayer' },
    ])
  })

  it('a worker that beats and gets nothing done counts only when there is no other', () => {
    const hanging = worker('delayer', { pid: 8, progressMs: 61_000 })
    const one = all.filter(({ kind }) => kind !== 'delayer')
    expect(healthProblems({ streams: [], workers: [...all, hanging] }, limits, kinds)).toEqual([])
    expect(healthProblems({ streams: [], workers: [...one, hanging] }, limits, kinds)).toEqual([
      {
        problem: 'no-progress',
        kind: 'delayer',
        message: 'no delayer gets on: process 8 on web-1 has got nothing done for 1 m 1 s; see its log',
      },
    ])
  })
})
