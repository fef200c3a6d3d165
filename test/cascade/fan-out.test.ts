import { expect, test } from 'vitest'

import { FanOut } from '../../src/cascade/fan-out.ts'
import { useStreams } from '../support/streams.ts'

const open = useStreams()

test('who takes the same entry over goes on; after a second change of the row it begins anew', async () => {
  const { redis, partition } = await open()
  const first = new FanOut(redis, partition, 'cities country row ["FR"]', '5-0')
  expect(await first.reached()).toEqual({ after: undefined, done: false })
  await first.reach({ after: '1000', done: false })

  const heir = new FanOut(redis, partition, 'cities country row ["FR"]', '5-0')
  expect(await heir.reached()).toEqual({ after: '1000', done: false })
  // The owners up to the cursor have not seen the second change.
  const later = new FanOut(redis, partition, 'cities country row ["FR"]', '6-0')
  expect(await later.reached()).toEqual({ after: undefined, done: false })
  const other = new FanOut(redis, partition, 'cities country row ["DE"]', '5-0')
  expect(await other.reached()).toEqual({ after: undefined, done: false })

  await heir.reach({ after: undefined, done: true })
  expect(await first.reached()).toEqual({ after: undefined, done: true })
  await heir.forget()
  expect(await redis.exists(partition.keys.fanOuts)).toBe(0)
})

test('a cursor that nobody comes back to is forgotten', async () => {
  const { redis, partition } = await open()
  await new FanOut(redis, partition, 'cities country row ["FR"]', '5-0').reach({ after: '1', done: false })
  expect(await redis.ttl(partition.keys.fanOuts)).toBeGreaterThan(0)
})
