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
    return runScript(redis, above)
  }
  // The script as it would be without its clock.
  const { micros } = redis
  redis.micros = 0
  const ticket = runScript(redis, above)
  redis.micros = micros
  return ticket
}
