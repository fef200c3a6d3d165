import { markerOf } from '../../src/reindex/state.ts'
import type { Fate } from '../../src/indexing/fate.ts'
import { newIndex } from './fake-index.ts'
import { addTargets, removeTargets } from './fake-redis.ts'
import type { Scenario } from './scenario.ts'
import { fault, work, type Step } from './step.ts'
import { takeTicket } from './ticket.ts'
import type { Copier, World } from './world.ts'

/**
 * A live reindex: a new index becomes a target, then every page of rows is copied with a ticket of its own, then the
 * alias is swapped and the old index goes. A copier that dies is started again and copies its page anew. When Redis
 * has lost the targets meanwhile, another copy is made: before the swap in the place of the first one, after it of the
 * index that is searched by then.
 */
export function copierSteps(world: World, scenario: Scenario): Step[] {
  const { copier } = world
  if (copier === undefined || copier.phase === 'done') return []
  return [...ordinarySteps(world, scenario, copier), ...crash(world, scenario, copier)]
}

/** An item of the copier's request is done. */
export function copied(copier: Copier, fate: Fate): void {
  if (fate === 'wait' || fate === 'fatal') copier.again = true
  copier.waiting--
  if (copier.waiting === 0) nextPage(copier)
}

function ordinarySteps(world: World, scenario: Scenario, { phase, page, takenAt }: Copier): Step[] {
  const row = scenario.rows[page]
  const step = (does: string, run: (world: World, me: Copier) => void): Step =>
    work(`the copier ${does}`, (next) => run(next, next.copier!))
  const isForgotten = (next: World): boolean => hasForgotten(next, scenario)
  switch (phase) {
    case 'register':
      return [
        step('registers the new index as a target', (next, me) => {
          next.indices[me.to] ??= newIndex()
          // Both: a list that Redis has lost would otherwise be without the index that is searched.
          addTargets(next.redis, [me.from, me.to, markerOf(me.to)])
          me.page = 0
          me.phase = 'ticket'
        }),
      ]
    case 'ticket':
      if (row === undefined && isForgotten(world))
        return [step('finds that changes may have missed its index, and gives it up', giveUp)]
      if (row === undefined) return [step('swaps the alias', (next, me) => swap(next, me, scenario))]
      return [
        step('takes a ticket', (next, me) => {
          me.version = takeTicket(next, scenario.rules).version
          me.takenAt = next.now
          me.phase = 'rows'
        }),
      ]
    case 'rows':
      return [
        step(`reads ${row}`, (next, me) => {
          me.read = next.database.rows[row!]
          me.phase = 'send'
          if (scenario.coarse) send(next, me, scenario, row!)
        }),
      ]
    case 'send':
      if (world.now - takenAt >= scenario.times.ticketMaxAge)
        return [step('finds its ticket too old', (_, me) => void (me.phase = 'ticket'))]
      return [step(`sends ${row}`, (next, me) => send(next, me, scenario, row!))]
    case 'unregister':
      return [
        step('takes the old index off the targets', (next, me) => {
          me.again = isForgotten(next)
          removeTargets(next.redis, [me.from, markerOf(me.to)])
          me.phase = 'drop'
        }),
      ]
    case 'drop':
      return [
        step('drops the old index', (next, me) => {
          delete next.indices[me.from]
          if (me.again) copyAnew(me, me.to)
          else me.phase = 'done'
        }),
      ]
    default:
      return []
  }
}

function hasForgotten({ redis, copier }: World, { rules: { lostTargets } }: Scenario): boolean {
  return lostTargets === 'marked' && !redis.targets.includes(markerOf(copier!.to))
}

function giveUp(world: World, me: Copier): void {
  removeTargets(world.redis, [me.to, markerOf(me.to)])
  delete world.indices[me.to]
  copyAnew(me, me.from)
}

/** Into an index of another name, so that late writes to this one do not reach it. */
function copyAnew(me: Copier, from: string): void {
  me.from = from
  me.to = `${me.to}er`
  me.phase = 'register'
  me.again = false
}

function crash(world: World, scenario: Scenario, { phase, attempt }: Copier): Step[] {
  if (phase !== 'rows' && phase !== 'send' && phase !== 'answers') return []
  return fault(world, scenario, 'copier-crash', 'the copier dies and is started again', (next) => {
    for (const item of next.network) if (item.owner === attempt) item.owner = ''
    next.copier!.attempt = ''
    next.copier!.phase = 'ticket'
  })
}

/** Nothing is written for a row that is gone. */
function send(world: World, me: Copier, { rules }: Scenario, row: string): void {
  const { state, commit } = me.read!
  me.attempt = `copy ${++world.serial}`
  me.again = false
  me.phase = 'answers'
  if (state === 'gone') return nextPage(me)
  const version = rules.versions === 'none' ? undefined : me.version
  const write = { row, version, value: commit, poison: state === 'poison', target: me.to }
  world.network.push({ ...write, owner: me.attempt, takenAt: me.takenAt })
  me.waiting = 1
}

function nextPage(me: Copier): void {
  if (!me.again) me.page++
  me.phase = 'ticket'
}

function swap(world: World, me: Copier, scenario: Scenario): void {
  world.alias = me.to
  const isOver = scenario.coarse && !scenario.faults.includes('targets-lost')
  me.phase = isOver ? 'done' : 'unregister'
}
