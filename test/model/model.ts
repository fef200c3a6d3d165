import { lanes } from '../../src/streams/keys.ts'
import { applicationSteps } from './application.ts'
import { copierSteps } from './copier.ts'
import { elasticsearchSteps } from './elasticsearch.ts'
import { memberSteps } from './group-member.ts'
import { janitorSteps } from './janitors.ts'
import type { Scenario } from './scenario.ts'
import type { Step } from './step.ts'
import type { World } from './world.ts'

/** Everything that can happen next. */
export function stepsOf(world: World, scenario: Scenario): Step[] {
  return [
    ...applicationSteps(world, scenario),
    ...memberSteps(world, scenario),
    ...elasticsearchSteps(world, scenario),
    ...copierSteps(world, scenario),
    ...janitorSteps(world, scenario),
  ]
}

/** What breaks the promises in a world where nothing is left to do. */
export function problemsOf(world: World, scenario: Scenario): string[] {
  const { database, redis, indices, alias } = world
  const problems: string[] = []
  for (const [row, { state, commit }] of Object.entries(database.rows)) {
    const found = indices[alias]?.documents[row]?.value
    const isDead = redis.letters[row] !== undefined
    if (state === 'poison') {
      if (!isDead) problems.push(`${row} cannot be indexed, but there is no dead letter for it`)
      continue
    }
    const wanted = state === 'gone' ? undefined : commit
    if (found !== wanted)
      problems.push(`${row} is ${wanted ?? 'gone'}, but the index has ${found ?? 'nothing'}`)
    if (isDead) problems.push(`${row} is indexed, but there is a dead letter for it`)
    if (scenario.watchers > 0 && (world.heard[row] ?? 0) < commit)
      problems.push(`the watchers never heard of commit ${commit} of ${row}`)
  }
  const left = (['delay', ...lanes] as const).filter((name) => (redis.streams[name]?.entries.length ?? 0) > 0)
  if (world.trimmer !== undefined && left.length > 0) problems.push(`entries are left in ${left.join(', ')}`)
  if (world.counterAlarms > 0 && !scenario.faults.includes('counter-lost'))
    problems.push('the ticket counter was taken for one that went backwards')
  return problems
}
