import { finishedEntries } from '../../src/streams/batch.ts'
import { answered, attempt, burialsOf, goOn, retryRow, rowsOf, waitOutcomes } from './attempt.ts'
import { conflictSteps } from './conflict.ts'
import { addTargets, removeTargets } from './fake-redis.ts'
import { bury, settle } from './fake-scripts.ts'
import type { Rules, Scenario } from './scenario.ts'
import { work, type BatchStep, type Step } from './step.ts'
import { takeTicket, targetsIn } from './ticket.ts'
import { oldIndex, type Batch, type Member, type World } from './world.ts'

/**
 * The steps of one batch of one member, as `Indexer.handle` and `Consumer.#work` take them: ticket, rows, bulk
 * request, outcomes, dead letters, acknowledgement.
 */
export function batchSteps(world: World, scenario: Scenario, m: number, b: number): Step[] {
  const { name } = world.members[m]!
  const batch = world.members[m]!.batches[b]!
  const step: BatchStep = (does, run) =>
    work(`${name} ${does}`, (next) => run(next, next.members[m]!.batches[b]!, next.members[m]!))
  const { rules, times } = scenario
  switch (batch.phase) {
    case 'targets':
      return [
        step('learns the targets', (next, me) => {
          me.targets = targetsIn(next.redis)
          goOn(me, rules)
        }),
      ]
    case 'ticket':
      return [step('takes a ticket', (next, me) => ticket(next, me, rules))]
    case 'look-up-targets':
      // As `currentTargets` does: the index behind the alias, and no other.
      return [
        step('asks Elasticsearch for the target', (next, me) => {
          me.targets = [next.alias]
          me.phase = 'teach-targets'
        }),
      ]
    case 'teach-targets':
      return [
        step('tells Redis the target', (next, me) => {
          addTargets(next.redis, me.targets)
          me.phase = 'ticket'
        }),
      ]
    case 'rows':
      return [
        step(`reads ${rowsOf(batch).join(', ')}`, (next, me, member) => {
          for (const row of rowsOf(me)) me.rows[row] = next.database.rows[row]!
          if (member.group === 'watch') {
            hear(next, me)
            me.phase = 'settle'
            return
          }
          goOn(me, rules)
          if (scenario.coarse && isPlain(rules)) send(next, me, member, rules)
        }),
      ]
    case 'send':
      return world.now - batch.takenAt < times.ticketMaxAge
        ? [step(`sends${shown(batch)}`, (next, me, member) => send(next, me, member, rules))]
        : [step('finds its ticket too old', (_, me) => answered(me, rules, waitOutcomes(me)))]
    case 'answers':
      return []
    case 'fresh':
    case 'stored':
    case 'raise':
      return conflictSteps(batch, scenario, step)
    case 'bury':
      return [step('writes dead letters', (next, me) => buryPoison(next, me, rules))]
    case 'look-again':
      return [step('looks whether the rows of its dead letters have changed', lookAgain)]
    case 'settle':
      return [step('acknowledges', (next, me, member) => settleBatch(next, me, member, rules))]
  }
}

/** The order is that of the protocol, so that nobody can come between the rows and the request. */
function isPlain({ versions, targets }: Rules): boolean {
  return versions !== 'ticket-after-read' && targets !== 'at-sending'
}

function ticket(world: World, batch: Batch, rules: Rules): void {
  const { version, targets } = takeTicket(world, rules)
  batch.version = version
  batch.takenAt = world.now
  if (rules.targets === 'never') batch.targets = [oldIndex]
  if (rules.targets === 'with-ticket') batch.targets = targets
  if (rules.targets === 'with-ticket' && targets.length === 0) batch.phase = 'look-up-targets'
  else goOn(batch, rules)
}

function send(world: World, batch: Batch, member: Member, rules: Rules): void {
  if (rules.targets === 'at-sending') batch.targets = targetsIn(world.redis)
  const version = rules.versions === 'none' ? undefined : batch.version
  for (const [row, { state, commit }] of Object.entries(batch.rows)) {
    const value = state === 'gone' ? undefined : commit
    for (const target of batch.targets) {
      const write = { row, version, value, poison: state === 'poison', target }
      world.network.push({ ...write, owner: batch.attempt, takenAt: batch.takenAt })
      batch.waiting++
    }
  }
  batch.phase = 'answers'
  if (rules.acknowledge === 'before-answer') {
    const ids = batch.entries.map(({ id }) => id)
    settle(world.redis, batch.lane, member.group, ids, [], 0)
  }
}

function buryPoison(world: World, batch: Batch, { letters }: Rules): void {
  batch.buried = burialsOf(batch)
  const ticket = letters === 'any' ? 0 : batch.version
  for (const row of batch.buried) bury(world.redis, row, ticket, 'document_parsing_exception', Infinity)
  batch.phase = letters === 'by-ticket-and-read-again' ? 'look-again' : 'settle'
}

function lookAgain(world: World, batch: Batch): void {
  for (const row of batch.buried) {
    if (world.database.rows[row]!.commit !== batch.rows[row]!.commit) retryRow(batch, row)
  }
  batch.phase = 'settle'
}

/** Settles what is finished; what is left is tried again, with a new ticket. */
export function settleBatch(world: World, batch: Batch, member: Member, rules: Rules): void {
  const retry = new Set(batch.retry)
  const poison = new Set(batch.outcomes.filter(({ fate }) => fate === 'poison').map(({ row }) => row))
  const finished = finishedEntries(batch.entries, retry)
  const resolved =
    member.group === 'watch' ? [] : rowsOf(batch).filter((row) => !retry.has(row) && !poison.has(row))
  const ids = finished.map(({ id }) => id)
  settle(world.redis, batch.lane, member.group, ids, resolved, batch.version)
  if (rules.lostTargets === 'marked') {
    const gone = batch.outcomes.filter(({ fate }) => fate === 'fatal').map(({ target }) => target)
    removeTargets(world.redis, gone)
  }
  const done = new Set(ids)
  const entries = batch.entries.filter(({ id }) => !done.has(id))
  const position = member.batches.indexOf(batch)
  if (entries.length > 0) {
    member.batches[position] = attempt({ lane: batch.lane, entries }, world, member.group, rules)
    return
  }
  member.batches.splice(position, 1)
  // By now its heartbeat is heard again.
  if (member.batches.length === 0) member.silent = false
}

function hear({ heard }: World, batch: Batch): void {
  for (const [row, { commit }] of Object.entries(batch.rows)) heard[row] = Math.max(heard[row] ?? 0, commit)
}

function shown(batch: Batch): string {
  const values = Object.entries(batch.rows).map(
    ([row, { state, commit }]) => ` ${row} = ${state === 'gone' ? 'gone' : commit}`,
  )
  return `${values.join(',')} with ticket ${batch.version} to ${batch.targets.join(' and ')}`
}
