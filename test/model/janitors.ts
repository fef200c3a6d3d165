import { lanes, type Lane } from '../../src/streams/keys.ts'
import type { StreamId } from '../../src/streams/stream-id.ts'
import { fateOfDelayed, hasId, suspectsAfter } from '../../src/streams/transaction.ts'
import { trimPoint, type GroupProgress } from '../../src/streams/trim-point.ts'
import { cluster, holdsTimeSince, nameOf } from './application.ts'
import { groupsOf, idMs, isAfter, nowMs, xdel, xtrim } from './fake-redis.ts'
import { dueEntries, requeueDue, requeueIds, transactionOf } from './fake-scripts.ts'
import { waitsForIdleTime } from './group-member.ts'
import { tickMs, type Rules, type Scenario } from './scenario.ts'
import { drift, fault, work, type Step } from './step.ts'
import { indexGroup, type Application, type World } from './world.ts'

/** The Delayer, the Trimmer, and time. */
export function janitorSteps(world: World, scenario: Scenario): Step[] {
  return [
    ...delayerSteps(world, scenario),
    ...askingSteps(world, scenario),
    ...trimmerSteps(world, scenario),
    ...timeSteps(world, scenario),
    ...redisFaults(world, scenario),
  ]
}

function delayerSteps(world: World, { times, asks }: Scenario): Step[] {
  const which = asks === 'nobody' ? 'all' : 'unnamed'
  if (dueEntries(world.redis, times.delay, which).length === 0) return []
  return [
    work(
      'the Delayer re-queues what is due',
      (next) => void requeueDue(next.redis, 'main', times.delay, 5_000, which),
    ),
  ]
}

/**
 * The Delayer asks about the transaction of one entry, and does what follows. That others may come between the answer and
 * what follows from it makes no difference: a transaction that has ended stays so, and an entry that is gone is passed
 * over.
 */
function askingSteps({ redis, database, applications, suspects }: World, scenario: Scenario): Step[] {
  const { asks, rules, times } = scenario
  if (asks === 'nobody') return []
  const names = applications.filter(isOpen).map(nameOf)
  return (redis.streams.delay?.entries ?? []).flatMap(({ id, fields }) => {
    const transaction = transactionOf(fields)
    if (transaction === undefined) return []
    const ageMs = nowMs(redis) - idMs(id)
    const act = (label: string, fate: ReturnType<typeof fateOfDelayed>, make = work): Step[] => {
      if (fate === 'leave') return []
      const run = (next: World): void => {
        delete next.suspects[id]
        if (fate === 'requeue') requeueIds(next.redis, 'main', [id])
        else xdel(next.redis, 'delay', [id])
      }
      return [make(`the Delayer ${label}`, run)]
    }
    // Another time the database knows.
    const inVain =
      asks === 'database-that-may-not-know'
        ? act('is told nothing', fateOfDelayed('unknown', ageMs, times.delay), drift)
        : []
    if (hasId(transaction)) {
      const truth = database.ended[transaction] ?? 'in progress'
      const taken = truth === 'in progress' && rules.inProgress === 'taken-for-aborted' ? 'aborted' : truth
      return [
        ...inVain,
        ...act(`is told: ${transaction} is ${truth}`, fateOfDelayed(taken, ageMs, times.delay)),
      ]
    }
    const known = suspects[id] && new Set(suspects[id])
    const open = { cluster, names: new Set<string>(rules.suspects === 'none' ? [] : names) }
    const left = [...(suspectsAfter(transaction, known, open) ?? [])]
    if (left.length === 0) return [...inVain, ...act('is told: it has ended', 'requeue')]
    const byAge = act('re-queues what may be open', fateOfDelayed('unknown', ageMs, times.delay))
    if (left.length === known?.size) return [...inVain, ...byAge]
    const learn = (next: World): void => void (next.suspects[id] = left)
    return [...inVain, ...byAge, work(`the Delayer looks: it may be ${left.join(', ')}`, learn)]
  })
}

function isOpen({ phase }: Application): boolean {
  return phase === 'open' || phase === 'unanswered'
}

/** As `readGroups` and `Trimmer.runOnce` do: three commands, and others may come between them. */
function trimmerSteps(world: World, scenario: Scenario): Step[] {
  const { redis, trimmer } = world
  if (trimmer === undefined) return []
  const { lane, groups, before } = trimmer
  if (before !== undefined) {
    return [
      work(`the Trimmer cuts the ${lane} lane before ${before}`, (next) => {
        xtrim(next.redis, lane, before)
        next.trimmer = { lane, groups: undefined, before: undefined }
      }),
    ]
  }
  if (groups !== undefined) {
    return [
      work(`the Trimmer reads what is pending in the ${lane} lane`, (next) => {
        const now = groupsOf(next.redis, lane)
        const progress = groups.map(({ name, pending, lastDelivered }): GroupProgress => {
          const oldestPending =
            pending === 0 ? undefined : now.find((group) => group.name === name)?.oldestPending
          return { name, lastDelivered, oldestPending }
        })
        next.trimmer = { lane, groups: undefined, before: cutOf(progress, scenario.rules) }
      }),
    ]
  }
  return lanes
    .filter((lane) => hasDone(world, scenario.rules, lane))
    .map((lane) =>
      work(`the Trimmer reads how far the groups are in the ${lane} lane`, (next) => {
        next.trimmer = { lane, groups: groupsOf(redis, lane), before: undefined }
      }),
    )
}

/** The lane holds entries that may go. */
function hasDone({ redis }: World, rules: Rules, lane: Lane): boolean {
  const first = redis.streams[lane]?.entries[0]
  const before = first && cutOf(groupsOf(redis, lane), rules)
  return before !== undefined && isAfter(before, first!.id)
}

function cutOf(groups: readonly GroupProgress[], rules: Rules): StreamId | undefined {
  switch (rules.trim) {
    case 'all-groups':
      return trimPoint(groups, [indexGroup], undefined).before
    case 'groups-that-have-read':
      return trimPoint(
        groups.filter(({ lastDelivered }) => lastDelivered !== '0-0'),
        [],
        undefined,
      ).before
    case 'what-is-read':
      return trimPoint(
        groups.map((group) => ({ ...group, oldestPending: undefined })),
        [indexGroup],
        undefined,
      ).before
  }
}

function timeSteps(world: World, scenario: Scenario): Step[] {
  if (!mayPass(world, scenario)) return []
  const pass = (next: World): void => {
    next.now += tickMs
    next.redis.micros += tickMs * 1_000
  }
  if (waitsForTime(world, scenario)) return [work('time passes', pass)]
  return scenario.coarse ? [] : [drift('time passes', pass)]
}

/** What is assumed: no transaction outlives the delay, and no request outlives the tombstones. */
function mayPass({ applications, network, now }: World, { times, rules }: Scenario): boolean {
  const then = now + tickMs
  const isLate = (since: number | undefined): boolean => since !== undefined && then - since >= times.delay
  if (times.delayIsLongEnough && applications.some((one) => isLate(holdsTimeSince(one, times)))) return false
  return rules.tombstones !== 'by-clock' || network.every(({ takenAt }) => then - takenAt < times.gcDeletes)
}

function waitsForTime(world: World, scenario: Scenario): boolean {
  const { redis } = world
  const delayed = redis.streams.delay?.entries ?? []
  if (delayed.some(({ id }) => nowMs(redis) - idMs(id) < scenario.times.delay)) return true
  return waitsForIdleTime(world, scenario)
}

function redisFaults(world: World, scenario: Scenario): Step[] {
  const { redis } = world
  return [
    ...(redis.ticket === undefined
      ? []
      : fault(world, scenario, 'counter-lost', 'Redis loses the ticket counter', (next) => {
          next.redis.ticket = undefined
        })),
    ...(redis.targets.length === 0
      ? []
      : fault(world, scenario, 'targets-lost', 'Redis loses the targets', (next) => {
          next.redis.targets = []
        })),
    ...fault(world, scenario, 'clock-back', 'the clock of Redis is set back', (next) => {
      next.redis.micros = Math.max(0, next.redis.micros - 5 * tickMs * 1_000)
    }),
  ]
}
