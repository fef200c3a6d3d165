import { isTarget } from '../../src/sync/ticket.ts'
import type { FakeRedis } from './fake-redis.ts'
import { takeTicket as runScript } from './fake-scripts.ts'
import type { Rules } from './scenario.ts'
import type { World } from './world.ts'

/** Takes a ticket; the clock of Redis goes on by 1 µs, because a script takes longer than that. */
export function takeTicket(
  { redis }: World,
  { tickets }: Rules,
  above = 0,
): { version: number; targets: string[] } {
  if (tickets === 'clock') {
    redis.micros++
    return withTargets(runScript(redis, above))
  }
  // The script as it would be without its clock.
  const { micros } = redis
  redis.micros = 0
  const ticket = runScript(redis, above)
  redis.micros = micros
  return withTargets(ticket)
}

/** The indices to write to. */
export function targetsIn({ targets }: Pick<FakeRedis, 'targets'>): string[] {
  return targets.filter(isTarget)
}

function withTargets(ticket: { version: number; targets: string[] }): { version: number; targets: string[] } {
  return { ...ticket, targets: targetsIn(ticket) }
}
