import { z } from 'zod'

import { runScript, type RedisClient } from './scripts.ts'

const replySchema = z.tuple([z.coerce.number(), z.coerce.number()])

/**
 * Redis' clock in ms, by which every age is told: the clocks of other machines may be wrong. It is that of the node
 * that holds `key`, because the nodes of a Cluster may differ, and the command TIME asks any of them.
 */
export async function redisNowMs(redis: RedisClient, key: string): Promise<number> {
  const [seconds, micros] = replySchema.parse(await runScript(redis, 'clock', [key], []))
  return seconds * 1_000 + micros / 1_000
}
