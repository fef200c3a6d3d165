import { beforeEach, describe, expect, it } from 'vitest'

import { Progress } from '../../src/runtime/progress.ts'

let now: number
let progress: Progress

beforeEach(() => {
  now = 1_000
  progress = new Progress(() => now)
})

describe('the report', () => {
  it('is that of nobody before the start and after the end', () => {
    const idle = { running: false, progressMs: 0, silentMs: 0, step: undefined, waitsFor: [] }
    expect(progress.report()).toEqual(idle)
    const loop = progress.begin('read')
    now += 10
    expect(progress.report()).toMatchObject({ running: true, progressMs: 10 })
    loop.ends()
    expect(progress.report()).toEqual(idle)
  })

  it('is that of the slowest: a loop that reads on does not hide a batch that hangs', () => {
    const loop = progress.begin('read')
    const batch = progress.begin('handle')
    batch.begins('load')
    now += 5_000
    loop.advanced()
    expect(progress.report()).toMatchObject({
      progressMs: 5_000,
      silentMs: 5_000,
      step: 'load',
      waitsFor: [],
    })
    batch.ends()
    expect(progress.report()).toMatchObject({ progressMs: 0, silentMs: 0 })
  })
})

describe('an activity', () => {
  it('that is tried again for ever makes no progress, but is alive and says what it waits for', () => {
    const batch = progress.begin('handle')
    for (let i = 0; i < 100; i++) {
      batch.begins('load')
      now += 50
      batch.begins('index')
      now += 50
      batch.failed()
    }
    expect(progress.report()).toMatchObject({ progressMs: 10_000, silentMs: 0, waitsFor: ['Elasticsearch'] })
    batch.begins('ticket')
    expect(progress.report().waitsFor).toEqual(['Elasticsearch'])
    batch.advanced()
    expect(progress.report()).toMatchObject({ progressMs: 0, silentMs: 0, waitsFor: [] })
  })

  it('is not silent while it pauses after a failure', () => {
    const loop = progress.begin('read')
    loop.failed()
    loop.pauses()
    now += 10_000
    expect(progress.report()).toMatchObject({ progressMs: 10_000, silentMs: 0, waitsFor: ['Redis'] })
    loop.begins('read')
    now += 20_000
    expect(progress.report()).toMatchObject({ progressMs: 30_000, silentMs: 20_000, step: 'read' })
  })

  it('does not count while it rests, nor does that time afterwards', () => {
    const loop = progress.begin('trim')
    loop.advanced()
    loop.rests()
    now += 60_000
    expect(progress.report()).toMatchObject({ running: true, progressMs: 0, silentMs: 0 })
    // A connection that is lost meanwhile does not wake it.
    loop.failed()
    expect(progress.report()).toMatchObject({ progressMs: 0, waitsFor: [] })
    loop.begins('trim')
    now += 10
    expect(progress.report()).toMatchObject({ progressMs: 10, silentMs: 10 })
  })

  it('names each thing that it waits for once', () => {
    for (const step of ['ticket', 'settle', 'load'] as const) {
      const batch = progress.begin(step)
      batch.failed()
    }
    expect(progress.report().waitsFor).toEqual(['Redis', 'the database'])
  })
})
