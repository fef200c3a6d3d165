import type { Crew, Role } from '../processes/crew.ts'
import { wait, type FaultContext } from './context.ts'

const workers: Readonly<Partial<Record<Role, number>>> = {
  relay: 4,
  follower: 4,
  consumer: 6,
  delayer: 2,
  trimmer: 1,
  auditor: 1,
}

/** Kills applications with SIGKILL, at any moment of their writes. */
export async function killWriters(context: FaultContext): Promise<void> {
  const { crew, random, count } = context
  while (await wait(context, 1_500, 5_000)) {
    const writers = [...crew.of('writer'), ...crew.of('stranger')]
    if (writers.length === 0) continue
    random.pick(writers).kill()
    count('writers killed')
  }
}

/** The roles that this torture has. */
function hired(crew: Crew): Record<Role, number> {
  return Object.fromEntries(Object.entries(workers).filter(([role]) => crew.has(role as Role))) as Record<
    Role,
    number
  >
}

/** Kills workers with SIGKILL, and now and then stops one in order. */
export async function killWorkers(context: FaultContext): Promise<void> {
  const { crew, random, count } = context
  while (await wait(context, 1_000, 4_000)) {
    const role = random.weighted(hired(crew))
    const found = crew.of(role)
    if (found.length === 0) continue
    const worker = random.pick(found)
    if (random.chance(0.2)) {
      worker.stop()
      count('workers stopped in order')
    } else {
      worker.kill()
      count(`${role}s killed`)
    }
  }
}

/** Stops a Consumer with SIGSTOP until the others have taken over what it held, and lets it go on with its old batches. */
export async function pauseConsumers(context: FaultContext): Promise<void> {
  const { crew, random, count } = context
  while (await wait(context, 500, 3_000)) {
    const consumers = crew.of('consumer')
    if (consumers.length === 0) continue
    const consumer = random.pick(consumers)
    consumer.pause()
    count('consumers paused')
    await wait(context, 2_500, 6_000)
    consumer.resume()
  }
}
