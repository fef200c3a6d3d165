import { fateOf, type Answer } from '../../src/indexing/fate.ts'
import { answered, waitOutcomes } from './attempt.ts'
import { settleBatch } from './batch.ts'
import { copied } from './copier.ts'
import { applyWrite } from './fake-index.ts'
import type { Scenario } from './scenario.ts'
import { drift, fault, work, type Step } from './step.ts'
import type { Batch, Item, World } from './world.ts'

/**
 * The way to Elasticsearch and what happens there. Every item of every request may be next, however old it is, and the
 * answers arrive when the last item of a request is done.
 */
export function elasticsearchSteps(world: World, scenario: Scenario): Step[] {
  return [
    ...world.network.flatMap((item, i) => itemSteps(world, scenario, item, i)),
    ...lostRequests(world, scenario),
    ...forgottenTombstones(world, scenario),
  ]
}

function itemSteps(world: World, scenario: Scenario, item: Item, i: number): Step[] {
  const what = `${item.row} = ${item.value ?? 'gone'} (ticket ${item.version ?? 'none'}) in index "${item.target}"`
  const take = (next: World): Item => next.network.splice(i, 1)[0]!
  return [
    work(`Elasticsearch takes ${what}`, (next) => {
      const taken = take(next)
      answer(next, scenario, taken, applyWrite(next.indices[taken.target], taken, next.now))
    }),
    ...fault(world, scenario, 'refused', `Elasticsearch refuses ${what} for now`, (next) => {
      answer(next, scenario, take(next), { status: 429, type: 'es_rejected_execution_exception' })
    }),
  ]
}

/** Requests that are answered with nothing; those who wait take that for "try again". */
function lostRequests(world: World, scenario: Scenario): Step[] {
  return world.members.flatMap(({ name, batches, stopped }, m) =>
    batches.flatMap(({ phase, attempt }, b) => {
      if (phase !== 'answers' || stopped) return []
      const giveUp = (next: World): void => {
        const batch = next.members[m]!.batches[b]!
        answered(batch, scenario.rules, waitOutcomes(batch))
      }
      return [
        ...fault(world, scenario, 'answer-lost', `${name} gets no answer from Elasticsearch`, (next) => {
          for (const item of next.network) if (item.owner === attempt) item.owner = ''
          giveUp(next)
        }),
        ...fault(world, scenario, 'request-lost', `the request of ${name} is lost`, (next) => {
          next.network = next.network.filter(({ owner }) => owner !== attempt)
          giveUp(next)
        }),
      ]
    }),
  )
}

function forgottenTombstones(world: World, scenario: Scenario): Step[] {
  if (scenario.rules.tombstones === 'kept') return []
  return Object.entries(world.indices).flatMap(([name, { tombstones }]) =>
    Object.entries(tombstones)
      .filter(([row, { version, at }]) => isForgettable(world, scenario, row, version, at))
      .map(([row]) =>
        drift(`index "${name}" forgets that ${row} was deleted`, (next) => {
          delete next.indices[name]!.tombstones[row]
        }),
      ),
  )
}

function isForgettable(world: World, scenario: Scenario, row: string, version: number, at: number): boolean {
  switch (scenario.rules.tombstones) {
    case 'by-clock':
      return world.now - at >= scenario.times.gcDeletes
    case 'when-safe':
      return ticketsHeld(world, row).every((held) => held >= version)
    default:
      return true
  }
}

/** Tickets that a write of the row may still arrive with. */
function ticketsHeld({ network, members, copier }: World, row: string): number[] {
  const batches = members
    .flatMap((member) => member.batches)
    .filter(({ phase }) => phase === 'rows' || phase === 'send')
  return [
    ...network.flatMap((item) => (item.row === row ? [item.version ?? 0] : [])),
    ...batches.map(({ version }) => version),
    ...(copier?.phase === 'rows' || copier?.phase === 'send' ? [copier.version] : []),
  ]
}

function answer(world: World, { rules, coarse }: Scenario, item: Item, reply: Answer): void {
  const outcome = {
    row: item.row,
    target: item.target,
    isDelete: item.value === undefined,
    fate: fateOf(reply),
  }
  if (item.owner === '') return
  if (world.copier?.attempt === item.owner) return copied(world.copier, outcome.fate)
  for (const member of world.members) {
    const batch = member.batches.find(({ attempt }) => attempt === item.owner)
    if (batch === undefined) continue
    batch.outcomes.push(outcome)
    batch.waiting--
    if (batch.waiting > 0) return
    answered(batch, rules, batch.outcomes)
    if (coarse && batch.phase === 'settle') settleBatch(world, batch, member, rules)
    return
  }
}

/** A batch that gives up leaves its items on the way: nobody waits for them. */
export function abandon(world: World, batches: readonly Pick<Batch, 'attempt'>[]): void {
  for (const item of world.network) if (batches.some(({ attempt }) => attempt === item.owner)) item.owner = ''
}
