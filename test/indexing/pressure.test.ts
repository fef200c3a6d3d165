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
  test('never lets more through than the window, one more when it is urgent, and everybody gets through', async () => {
    const request = fc.record({ urgent: fc.boolean(), answer: reception })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 60 }), fc.scheduler(), async (requests, scheduler) => {
        const gate = new PressureGate({ requests: 4, documents: 10, bytes: 100 })
        const inFlight = { urgent: 0, other: 0 }
        const all = Promise.all(
          requests.map(({ urgent, answer }) =>
            gate.through(
              urgent,
              async () => {
                inFlight[urgent ? 'urgent' : 'other'] += 1
                expect(inFlight.other).toBeLessThanOrEqual(4)
                expect(inFlight.urgent).toBeLessThanOrEqual(4)
                expect(inFlight.urgent + inFlight.other).toBeLessThanOrEqual(5)
                await scheduler.schedule(Promise.resolve())
                inFlight[urgent ? 'urgent' : 'other'] -= 1
                return answer
              },
              (result) => result === 'refused',
            ),
          ),
        )
        await scheduler.waitFor(all)
        expect(await all).toEqual(requests.map(({ answer }) => answer))
      }),
      { numRuns: 100 },
    )
  })

  test('the first urgent request waits for none that is not; later ones wait their turn', async () => {
    const gate = new PressureGate({ requests: 2, documents: 10, bytes: 100 })
    const begun: string[] = []
    const ends = new Map<string, () => void>()
    const send = (name: string, urgent: boolean): Promise<void> =>
      gate.through(
        urgent,
        () => {
          begun.push(name)
          return new Promise((resolve) => ends.set(name, resolve))
        },
        () => false,
      )
    const all = [
      send('bulk 1', false),
      send('bulk 2', false),
      send('bulk 3', false),
      send('main 1', true),
      send('main 2', true),
    ]
    await expect.poll(() => begun).toEqual(['bulk 1', 'bulk 2', 'main 1'])
    ends.get('bulk 1')!()
    await all[0]
    // Three were in flight: two are left, which is what the window allows.
    expect(begun).toHaveLength(3)
    ends.get('main 1')!()
    await all[3]
    await expect.poll(() => begun.slice(3)).toEqual(['bulk 3', 'main 2'])
    for (const name of ['bulk 2', 'bulk 3', 'main 2']) ends.get(name)!()
    await Promise.all(all)
  })

  test('a request that fails gives its place back', async () => {
    const gate = new PressureGate({ requests: 1, documents: 10, bytes: 100 })
    const failing = gate.through(
      false,
      () => Promise.reject(new Error('no')),
      () => false,
    )
    await expect(failing).rejects.toThrow('no')
    expect(
      await gate.through(
        false,
        () => Promise.resolve('yes'),
        () => false,
      ),
    ).toBe('yes')
  })
})
