import { setTimeout as sleep } from 'node:timers/promises'

import { plan } from './plan.ts'
import type { Crew } from './processes/crew.ts'
import type { Random } from './random.ts'
import type { Stage } from './stage.ts'

/**
 * The end of the writing. What goes wrong before it may be hidden by a later write of the same row; nothing comes after
 * the rows that are written here. The Consumers get time to recover, so that they are at work when their requests are
 * held back and one of them is stopped. The writers go on and half of them are killed. The old requests and the old
 * batches come back when the others have done everything.
 */
export async function finale({ elasticsearchProxy }: Stage, crew: Crew, random: Random): Promise<void> {
  const { quiet, late, last } = plan.finaleMs
  await sleep(quiet)
  await elasticsearchProxy.turn('late')
  await sleep(late)
  await elasticsearchProxy.turn('calm')
  crew.of('consumer')[0]?.pause()
  await sleep(last)
  await crew.dismiss(['writer', 'stranger'], (writer) => (random.chance(0.5) ? writer.kill() : writer.stop()))
  await sleep(plan.takeOverAfterMs * 2)
  crew.resumeAll()
}
