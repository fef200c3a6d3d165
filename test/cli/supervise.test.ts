import { expect, it } from 'vitest'

import { supervise, type Runnable } from '../../src/cli/supervise.ts'
import type { Logger } from '../../src/runtime/logger.ts'

function recorder(): { logger: Logger; errors: string[] } {
  const errors: string[] = []
  const ignore = (): void => undefined
  return {
    logger: { debug: ignore, info: ignore, warn: ignore, error: (_, message) => void errors.push(message) },
    errors,
  }
}

/** Runs until it is stopped, then does its last work. */
function patient(name: string, stopped: string[]): Runnable {
  return {
    kind: 'consumer',
    name,
    run: async (signal) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      await Promise.resolve()
      stopped.push(name)
    },
  }
}

it('stops every worker at the signal and waits for them', async () => {
  const { logger, errors } = recorder()
  const stopped: string[] = []
  const stop = new AbortController()
  const result = supervise([patient('a', stopped), patient('b', stopped)], stop.signal, logger)
  stop.abort()
  expect(await result).toBe(true)
  expect(stopped).toEqual(['a', 'b'])
  expect(errors).toEqual([])
})

it.each([
  [
    'cannot go on',
    () => Promise.reject(new Error('boom')),
    'the trimmer cities cannot go on; stopping the others',
  ],
  ['ends by itself', () => Promise.resolve(), 'the trimmer cities ended by itself; stopping the others'],
])('stops the others when one %s, and says so', async (_, run, message) => {
  const { logger, errors } = recorder()
  const stopped: string[] = []
  const workers: Runnable[] = [patient('a', stopped), { kind: 'trimmer', name: 'cities', run }]
  expect(await supervise(workers, new AbortController().signal, logger)).toBe(false)
  expect(stopped).toEqual(['a'])
  expect(errors).toEqual([message])
})
