import { expect, test } from 'vitest'

import { Isolation } from '../../src/streams/isolation.ts'

test('who is alone waits for those that run, and those that come later wait for it', async () => {
  const isolation = new Isolation()
  const log: string[] = []
  const ends = new Map<string, () => void>()
  const attempt = (name: string, alone: boolean): Promise<void> =>
    isolation.run(() => {
      log.push(name)
      return new Promise((resolve) => ends.set(name, resolve))
    }, alone)
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
  await expect(isolation.run(() => Promise.reject(new Error('x')), true)).rejects.toThrow('x')
  expect(await isolation.run(() => Promise.resolve('next'), false)).toBe('next')
})
