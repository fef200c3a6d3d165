import type { Fate } from '../../src/indexing/fate.ts'
import { newIndex } from './fake-index.ts'
import { addTargets, removeTargets } from './fake-redis.ts'
import type { Scenario } from './scenario.ts'
import { fault, work, type Step } from './step.ts'
import { takeTicket } from './ticket.ts'
import { newerIndex, oldIndex, type Copier, type World } from './world.ts'

/**
 * A live reindex: a new index becomes a target, then every page of rows is copied with a ticket of its own, then the
 * alias is swapped and the old index goes. A copier that dies is started again and copies its page anew.
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
  const startAgain = step('finds that its index is no target any more', (_, me) => {
    me.phase = 'register'
    me.isRepair = true
  })
  switch (phase) {
    case 'register':
      return [
        step('registers the new index as a target', (next, me) => {
          next.indices[newerIndex] ??= newIndex()
          addTargets(next.redis, [newerIndex])
          me.page = 0
          me.phase = 'ticket'
        }),
      ]
    case 'ticket':
      if (row === undefined && isForgotten(world, scenario)) return [startAgain]
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
      if (isForgotten(world, scenario)) return [startAgain]
      return [
        step('takes the old index off the targets', (next, me) => {
          removeTargets(next.redis, [oldIndex])
          me.phase = 'drop'
        }),
      ]
    case 'drop':
      return [
        step('drops the old index', (next, me) => {
          delete next.indices[oldIndex]
          me.phase = 'done'
        }),
      ]
    default:
      return []
  }
}

function isForgotten({ redis }: World, { rules }: Scenario): boolean {
  return rules.lostTargets === 'noticed' && !redis.targets.includes(newerIndex)
}

function crash(world: World, scenario: Scenario, { phase, attempt }: Copier): Step[] {
  if (phase !== 'rows' && phase !== 'send' && phase !== 'answers') return []
  return fault(world, scenario, 'copier-crash', 'the copier dies and is started again', (next) => {
    for (const item of next.network) if (item.owner === attempt) item.owner = ''
    next.copier!.attempt = ''
    next.copier!.phase = 'ticket'
  })
}

/** Nothing is written for a row that is gone, unless the new index may hold it from before. */
function send(world: World, me: Copier, { rules }: Scenario, row: string): void {
  const { state, commit } = me.read!
  me.attempt = `copy ${++world.serial}`
  me.again = false
  me.phase = 'answers'
  if (state === 'gone' && !me.isRepair) return nextPage(me)
  const version = rules.versions === 'none' ? undefined : me.version
  const value = state === 'gone' ? undefined : commit
  const write = { row, version, value, poison: state === 'poison', target: newerIndex }
  world.network.push({ ...write, owner: me.attempt, takenAt: me.takenAt })
  me.waiting = 1
}

function nextPage(me: Copier): void {
  if (!me.again) me.page++
  me.phase = 'ticket'
}

function swap(world: World, me: Copier, scenario: Scenario): void {
  world.alias = newerIndex
  me.phase = scenario.coarse ? 'done' : 'unregister'
}
