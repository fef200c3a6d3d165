import { expect, test } from 'vitest'

import { Isolation } from '../../src/streams/isolation.ts'

const never = new AbortController().signal

test('who is alone waits for those that run, and those that come later wait for it', async () => {
  const isolation = new Isolation()
  const log: string[] = []
  const ends = new Map<string, () => void>()
  const attempt = (name: string, alone: boolean): Promise<void> =>
    isolation.run(
      () => {
        log.push(name)
        return new Promise((resolve) => ends.set(name, resolve))
      },
      alone,
      never,
    )
  const end = async (name: string): Promise<void> => {
    ends.get(name)!()
    await new Promise(setImmediate)
  }
  const runs = [attempt('a', false), attempt('b', false), attempt('alone', true), attempt('c', false)]
  await new Promise(setImmediate)
  expect(log).toEqual(['a', 'b'])
  await end('a')
  expect(log).toEqual(['a', 'b'])
  await end('b')
  expect(log).toEqual(['a', 'b', 'alone'])
  await end('alone')
  expect(log).toEqual(['a', 'b', 'alone', 'c'])
  await end('c')
  await Promise.all(runs)
})

test('an attempt that fails gives its place back', async () => {
  const isolation = new Isolation()
  await expect(isolation.run(() => Promise.reject(new Error('x')), true, never)).rejects.toThrow('x')
  expect(await isolation.run(() => Promise.resolve('next'), false, never)).toBe('next')
})

test('who is told to stop before its turn is not run, and nobody waits for it', async () => {
  const isolation = new Isolation()
  const stopping = new AbortController()
  const log: string[] = []
  const first = Promise.withResolvers<void>()
  const running = isolation.run(() => first.promise, false, never)
  const alone = isolation.run(() => Promise.resolve(log.push('alone')), true, stopping.signal)
  const next = isolation.run(() => Promise.resolve(log.push('next')), false, never)
  stopping.abort()
  expect(await alone).toBeUndefined()
  await next
  expect(await isolation.run(() => Promise.resolve('late'), true, stopping.signal)).toBeUndefined()
  first.resolve()
  await running
  await isolation.run(() => Promise.resolve(log.push('alone at last')), true, never)
  expect(log).toEqual(['next', 'alone at last'])
})

test('who need not wait is run, although told to stop: what was read is finished', async () => {
  const isolation = new Isolation()
  const first = Promise.withResolvers<void>()
  const running = isolation.run(() => first.promise, false, never)
  const stopped = AbortSignal.abort()
  expect(await isolation.run(() => Promise.resolve('read at the last moment'), false, stopped)).toBe(
    'read at the last moment',
  )
  first.resolve()
  await running
})
