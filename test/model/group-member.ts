import { laneOfTurn, mayClaim, membersToSearch, type ClaimView } from '../../src/streams/claim-policy.ts'
import { lanes, type Lane } from '../../src/streams/keys.ts'
import type { PendingEntry } from '../../src/streams/replies.ts'
import { attempt } from './attempt.ts'
import { batchSteps } from './batch.ts'
import { abandon } from './elasticsearch.ts'
import { pendingOf, undelivered, xclaim, xreadgroup } from './fake-redis.ts'
import { leave } from './fake-scripts.ts'
import type { Scenario } from './scenario.ts'
import { fault, work, type Step } from './step.ts'
import type { Member, World } from './world.ts'

/** The members of consumer groups, as `streams/group-member.ts` and `streams/consumer.ts` let them act. */
export function memberSteps(world: World, scenario: Scenario): Step[] {
  return world.members.flatMap((member, i) => {
    if (member.stopped)
      return [
        work(`${member.name} goes on`, (next) => {
          next.members[i]!.stopped = false
          next.members[i]!.silent = false
        }),
      ]
    return [
      ...member.batches.flatMap((_, b) => batchSteps(world, scenario, i, b)),
      ...takingSteps(world, scenario, member, i),
      ...faults(world, scenario, member, i),
    ]
  })
}

/** Something is pending that nobody may claim before more time has passed: it was given out, but the reply was lost. */
export function waitsForIdleTime(world: World, scenario: Scenario): boolean {
  return world.members.some((member) =>
    lanes.some((lane) =>
      pendingOf(world.redis, lane, member.group).some(
        ({ id, consumer, idleMs }) =>
          consumer === member.name &&
          !inFlight(member, lane).has(id) &&
          idleMs < scenario.times.takeOverAfter,
      ),
    ),
  )
}

function takingSteps(world: World, scenario: Scenario, member: Member, i: number): Step[] {
  if (member.claim !== undefined) {
    return [
      work(`${member.name} claims what it saw pending`, (next) => claim(next, scenario, next.members[i]!)),
    ]
  }
  if (member.batches.length >= scenario.concurrency) return []
  const steps: Step[] = []
  for (const lane of lanes) {
    const wanted = claimable(world, scenario, member, lane)
    if (wanted.length === 0) continue
    const label = `${member.name} sees ${wanted.length} pending of ${wanted.map(({ consumer }) => consumer).join(', ')}`
    steps.push(
      work(label, (next) => {
        const me = next.members[i]!
        // The smallest idle time seen: somebody else who claims one of them in between resets it.
        const idleMs = Math.min(...wanted.map((entry) => entry.idleMs))
        me.claim = { lane, ids: wanted.map(({ id }) => id), idleMs }
        if (scenario.coarse) claim(next, scenario, me)
      }),
    )
    // Real members look at one lane after the other.
    break
  }
  if (lanes.some((lane) => undelivered(world.redis, lane, member.group).length > 0)) {
    steps.push(work(`${member.name} reads`, (next) => read(next, scenario, next.members[i]!, true)))
  }
  return steps
}

function claimable(world: World, scenario: Scenario, member: Member, lane: Lane): PendingEntry[] {
  const pending = pendingOf(world.redis, lane, member.group)
  if (pending.length === 0) return []
  const view: ClaimView = {
    me: member.name,
    inFlight: inFlight(member, lane),
    alive: new Set(world.members.filter(({ silent }) => !silent).map(({ name }) => name)),
    takeOverAfterMs: scenario.times.takeOverAfter,
  }
  const held = new Map<string, number>()
  for (const { consumer } of pending) held.set(consumer, (held.get(consumer) ?? 0) + 1)
  return membersToSearch(held, view)
    .flatMap((name) => pending.filter((entry) => entry.consumer === name && mayClaim(entry, view)))
    .slice(0, scenario.batchSize)
}

function claim(world: World, scenario: Scenario, me: Member): void {
  const { lane, ids, idleMs } = me.claim!
  me.claim = undefined
  const owners = pendingOf(world.redis, lane, me.group).filter(({ id }) => ids.includes(id))
  const entries = xclaim(world.redis, lane, me.group, me.name, idleMs, ids)
  if (entries.length > 0) me.batches.push(attempt({ lane, entries }, world, me.group, scenario.rules))
  for (const { consumer } of owners) if (consumer !== me.name) forgetIfDead(world, me.group, lane, consumer)
}

function forgetIfDead(world: World, group: string, lane: Lane, name: string): void {
  if (!world.members.some((member) => member.name === name && !member.silent))
    leave(world.redis, lane, group, name)
}

/** The lane whose turn it is, else the other; with `replied`, the entries arrive. */
function read(world: World, scenario: Scenario, me: Member, replied: boolean): void {
  const first = laneOfTurn(me.turn++)
  for (const lane of [first, ...lanes.filter((other) => other !== first)]) {
    if (world.redis.streams[lane] === undefined) continue
    const entries = xreadgroup(world.redis, lane, me.group, me.name, scenario.batchSize)
    if (entries.length === 0) continue
    if (replied) me.batches.push(attempt({ lane, entries }, world, me.group, scenario.rules))
    return
  }
}

function faults(world: World, scenario: Scenario, member: Member, i: number): Step[] {
  if (world.faultsLeft === 0) return []
  const { name, group, batches } = member
  const waiting = lanes.some((lane) => undelivered(world.redis, lane, group).length > 0)
  return [
    // A member that holds nothing may die as well, but nobody would notice.
    ...(batches.length > 0 || member.claim !== undefined
      ? fault(world, scenario, 'consumer-crash', `${name} dies, another takes its place`, (next) => {
          const { turn } = next.members[i]!
          abandon(next, batches)
          const replacement = `${name.split("'")[0]}'${++next.serial}`
          next.members[i] = {
            name: replacement,
            group,
            turn,
            silent: false,
            stopped: false,
            batches: [],
            claim: undefined,
          }
        })
      : []),
    ...(batches.length > 0 && !member.silent
      ? [
          ...fault(world, scenario, 'silence', `${name} looks dead, but lives`, (next) => {
            next.members[i]!.silent = true
          }),
          ...fault(world, scenario, 'stop', `${name} is stopped and looks dead`, (next) => {
            next.members[i]!.silent = true
            next.members[i]!.stopped = true
          }),
        ]
      : []),
    ...(waiting && batches.length < scenario.concurrency
      ? fault(world, scenario, 'read-reply-lost', `${name} reads, but the reply is lost`, (next) =>
          read(next, scenario, next.members[i]!, false),
        )
      : []),
  ]
}

function inFlight(member: Member, lane: Lane): Set<string> {
  return new Set(
    member.batches.flatMap((batch) => (batch.lane === lane ? batch.entries.map(({ id }) => id) : [])),
  )
}
