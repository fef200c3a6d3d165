import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { settingsAfterCopy, settingsForCopy } from '../../src/indexing/copy-index.ts'
import { diskProblem, firstState } from '../../src/reindex/begin.ts'
import { pageSize } from '../../src/reindex/copier.ts'
import { nextPause } from '../../src/reindex/pace.ts'
import { progressOf, Speed } from '../../src/reindex/progress.ts'
import { isDue, isUnderWay, parseState, type ReindexState } from '../../src/reindex/state.ts'
import type { IndexDefinition } from '../../src/indexed.ts'

const declared = { mappings: {}, settings: {} }
const now = Date.parse('2026-11-22T10:00:00Z')
const begun = firstState({ name: 'cities' } as IndexDefinition, declared, 'cities-old', now, { keepOldMs: 1 })
const copying: ReindexState = { ...begun, phase: 'copying', slices: 10, rows: 1_000, copyingAt: now }

test('the settings of a copy are those declared, without refreshes and replicas, and come back after it', () => {
  const settings = { 'index.gc_deletes': '1h', 'index.refresh_interval': '5s' }
  expect(settingsForCopy(settings)).toEqual({
    'index.gc_deletes': '1h',
    'index.refresh_interval': '-1',
    'index.number_of_replicas': 0,
  })
  expect(settingsAfterCopy(settings, {})).toEqual({
    'index.refresh_interval': '5s',
    'index.number_of_replicas': null,
  })
  // What somebody has set on the old index stays, unless another value is declared.
  const live = { 'index.refresh_interval': '9s', 'index.number_of_replicas': '0', 'index.codec': 'best' }
  expect(settingsAfterCopy(settings, live)).toEqual({
    'index.refresh_interval': '5s',
    'index.number_of_replicas': '0',
  })
  const expanded = { 'index.auto_expand_replicas': '0-1' }
  expect(settingsAfterCopy({}, expanded)).toMatchObject(expanded)
  expect(settingsAfterCopy({ 'index.number_of_replicas': 2 }, expanded)).not.toMatchObject(expanded)
  const expanding = { 'index.auto_expand_replicas': '0-1' }
  expect(settingsForCopy(expanding)['index.auto_expand_replicas']).toBe(false)
  expect(settingsAfterCopy(expanding, {})['index.auto_expand_replicas']).toBe('0-1')
})

test('a copy that finds no room is refused, with the figures', () => {
  expect(diskProblem(100, 2, 200)).toBeUndefined()
  expect(diskProblem(1024 ** 3, 2, 1024 ** 2)).toMatch(/2,048 MiB \(2 × 1,024 MiB\).* 1 MiB free/)
})

test('the new index has another name than the old one, also within the same second', () => {
  const again = firstState({ name: 'cities' } as IndexDefinition, declared, begun.to, now, { keepOldMs: 1 })
  expect(begun.to).toMatch(/^cities-20261122100000-[0-9a-f]{8}$/)
  expect(again.to).toMatch(/^cities-20261122100001-/)
  expect(again.id).not.toBe(begun.id)
})

test('a state survives its way through Redis', () => {
  expect(parseState(JSON.stringify(copying))).toEqual(copying)
})

test('a phase with a time is due when it has come; who waits is told when it is settled', () => {
  expect(isDue(copying, 0)).toBe(true)
  expect(isDue({ ...copying, notBefore: 10 }, 9)).toBe(false)
  expect(isDue({ ...copying, notBefore: 10 }, 10)).toBe(true)
  expect(isUnderWay(copying)).toBe(true)
  expect(isUnderWay({ ...copying, phase: 'keeping' })).toBe(false)
  expect(isUnderWay({ ...copying, phase: 'undone', again: true })).toBe(true)
})

test('the pause grows while live changes lag, up to 2 s, and is gone soon after', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 50 }), (lags) => {
      let pause = 0
      for (const lag of lags) {
        const next = nextPause(pause, lag, 1_000)
        expect(next).toBeLessThanOrEqual(2_000)
        if (lag > 1_000) expect(next).toBeGreaterThanOrEqual(Math.min(2_000, pause + 1))
        else expect(next).toBeLessThanOrEqual(pause / 2)
        pause = next
      }
      for (let i = 0; i < 10; i++) pause = nextPause(pause, 0, 1_000)
      expect(pause).toBe(0)
    }),
  )
})

test('pages of a slice that keeps ending processes shrink to single rows', () => {
  expect([1, 3, 4, 5, 6, 9].map((deliveries) => pageSize(deliveries, 1_000))).toEqual([
    1_000, 1_000, 50, 50, 1, 1,
  ])
  expect(pageSize(4, 10)).toBe(10)
})

test('the notice: rate, time left, slices', () => {
  const copy = { rows: 250, bytes: 10, done: 2, open: [{ slice: 2, rows: 50, cursor: '250' }] }
  const driver = { member: 'm', host: 'h', pid: 7, since: now }
  const found = progressOf(copying, copy, driver, now + 5_000)
  expect(found).toEqual({
    name: 'cities',
    phase: 'copying',
    from: 'cities-old',
    to: begun.to,
    rows: 250,
    total: 1_000,
    rowsPerSecond: 50,
    bytes: 10,
    secondsLeft: 15,
    slices: { total: 10, done: 2, open: [{ slice: 2, rows: 50, cursor: '250' }] },
    driver: { host: 'h', pid: 7, since: '2026-11-22T10:00:00.000Z' },
    startedAt: '2026-11-22T10:00:00.000Z',
    problem: null,
  })
  expect(progressOf(copying, copy, driver, now + 5_000, 150)).toMatchObject({ secondsLeft: 5 })
  expect(progressOf(copying, { ...copy, rows: 0 }, undefined, now)).toMatchObject({
    secondsLeft: null,
    driver: null,
  })
  const kept = { ...copying, phase: 'keeping', documents: 990 } as const
  expect(progressOf(kept, { rows: 0, bytes: 0, done: 0, open: [] }, driver, now)).toMatchObject({
    rows: 990,
    rowsPerSecond: 0,
    slices: { total: 10, done: 10 },
    driver: null,
  })
})

test('the speed is that of the last ten seconds', () => {
  const speed = new Speed()
  speed.add(0, 0)
  expect(speed.rowsPerSecond).toBeUndefined()
  speed.add(1_000, 1_000)
  expect(speed.rowsPerSecond).toBe(1_000)
  for (let second = 2; second <= 30; second++) speed.add(1_000 + second, second * 1_000)
  expect(speed.rowsPerSecond).toBeCloseTo(1)
  speed.add(5, 31_000)
  expect(speed.rowsPerSecond).toBeUndefined()
})
