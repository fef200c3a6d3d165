import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { afterAnswer, PressureGate, type Reception, type Window } from '../../src/indexing/pressure.ts'

const largest: Window = { requests: 8, documents: 1_000, bytes: 8 * 1024 * 1024 }
const reception = fc.constantFrom<Reception>('well', 'slowly', 'refused')

describe('the window', () => {
  test('stays between one small request and the settings, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(reception), (answers) => {
        const window = answers.reduce((now, answer) => afterAnswer(now, largest, answer), largest)
        for (const part of ['requests', 'documents', 'bytes'] as const) {
          expect(window[part]).toBeGreaterThanOrEqual(1)
          expect(window[part]).toBeLessThanOrEqual(largest[part])
        }
      }),
    )
  })

  test('a refusal takes more than a slow answer, and good answers bring all of it back', () => {
    const refused = afterAnswer(largest, largest, 'refused')
    const slow = afterAnswer(largest, largest, 'slowly')
    expect(refused.requests).toBeLessThan(slow.requests)
    expect(slow.requests).toBeLessThan(largest.requests)
    let window = refused
    for (let i = 0; i < 100; i++) window = afterAnswer(window, largest, 'well')
    expect(window).toEqual(largest)
  })

  test('settings below the smallest window are kept', () => {
    const tiny: Window = { requests: 1, documents: 1, bytes: 100 }
    expect(afterAnswer(tiny, tiny, 'refused')).toEqual(tiny)
  })
})

describe('the gate', () => {
  test('never lets more through than the window, and everybody gets through', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(reception, { maxLength: 60 }), fc.scheduler(), async (answers, scheduler) => {
        const gate = new PressureGate({ requests: 4, documents: 10, bytes: 100 })
        let inFlight = 0
        const all = Promise.all(
          answers.map((answer) =>
            gate.through(
              async () => {
                inFlight += 1
                expect(inFlight).toBeLessThanOrEqual(4)
                await scheduler.schedule(Promise.resolve())
                inFlight -= 1
                return answer
              },
              (result) => result === 'refused',
            ),
          ),
        )
        await scheduler.waitFor(all)
        expect(await all).toEqual(answers)
      }),
      { numRuns: 100 },
    )
  })

  test('a request that fails gives its place back', async () => {
    const gate = new PressureGate({ requests: 1, documents: 10, bytes: 100 })
    const failing = gate.through(
      () => Promise.reject(new Error('no')),
      () => false,
    )
    await expect(failing).rejects.toThrow('no')
    expect(
      await gate.through(
        () => Promise.resolve('yes'),
        () => false,
      ),
    ).toBe('yes')
  })
})
