import { afterEach, expect, test } from 'vitest'

import { captured, type Captured } from '../support/captured.ts'

let app: Captured

afterEach(() => app.dispose())

test('a group is noted as served while its consumer runs, and when it stops', async () => {
  app = await captured()
  const { redstream, partition, space } = app
  const redis = space.redis()
  const noted = async (): Promise<number> => Number(await redis.hget(partition.keys.groups, 'cache'))
  const consumer = await redstream.consume(partition.stream, 'cache', async () => undefined)
  await expect.poll(noted).toBeGreaterThan(0)
  const atStart = await noted()
  // As if it had run for long.
  await redis.hset(partition.keys.groups, 'cache', 1)
  await consumer.stop()
  expect(await noted()).toBeGreaterThanOrEqual(atStart)
})

test.for(['index', 'cascade', 'redstream-audit'])(
  'the group %s is not for others: it would take its messages away',
  async (group) => {
    app = await captured()
    const { redstream, partition } = app
    await expect(redstream.consume(partition.stream, group, async () => undefined)).rejects.toMatchObject({
      code: 'CONFIG',
      message: `the group name "${group}" is one of Redstream's own`,
    })
  },
)
