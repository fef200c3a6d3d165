import { lanes, type Lane } from '../../src/streams/keys.ts'
import type { StreamId } from '../../src/streams/stream-id.ts'
import { hasId } from '../../src/streams/transaction.ts'
import { holdsTimeSince } from './application.ts'
import { idMs, isAfter, nowMs, type FakeEntry } from './fake-redis.ts'
import { transactionOf } from './fake-scripts.ts'
import type { Scenario } from './scenario.ts'
import type { Application, Batch, Member, Phase, Row, World } from './world.ts'

/**
 * Two worlds with the same key go on in the same way. Names and numbers that only have to differ (stream ids, names of
 * processes, tickets as long as they only grow) are replaced by their order; members and applications in the same
 * state are interchangeable; what nobody will look at again is left out.
 *
 * For coarse scenarios only: it expects that time passes only when somebody waits for it, and that no ticket is ever
 * too old.
 */
export function keyOf(world: World, scenario: Scenario): string {
  const view: View = { world, scenario, rank: ranking(world, scenario), lanes: [], items: new Map() }
  for (const lane of lanes) view.lanes.push(neededEntries(view, lane))
  for (const { owner, row, target, version, value } of world.network) {
    const known = view.items.get(owner) ?? []
    known.push(`${row} ${target} ${view.rank(version)} ${value}`)
    view.items.set(owner, known)
  }
  const { redis } = world
  return [
    world.faultsLeft,
    world.counterAlarms > 0,
    textOfRows(world.database.rows),
    scenario.rules.tickets === 'clock' ? redis.ticket === undefined : redis.ticket,
    redis.targets.join(),
    Object.keys(redis.letters)
      .map((row) => `${row} ${view.rank(redis.letters[row]!.ticket)}`)
      .join(),
    world.alias,
    textOfIndices(view),
    // Who is suspected is somebody.
    Object.keys(world.suspects).length > 0
      ? world.applications.map((one) => textOfApplication(view, one)).join('|')
      : inAnyOrder(world.applications.map((one) => textOfApplication(view, one))),
    inAnyOrder(world.members.map((one) => textOfMember(view, one))),
    ...view.lanes.map((entries) => [...entries.values()].join()),
    textOfDelay(view),
    textOfItems(view, ''),
    textOfCopier(view),
    world.trimmer === undefined ? '' : JSON.stringify(world.trimmer),
    Object.values(world.heard).join(),
  ].join('\n')
}

interface View {
  readonly world: World
  readonly scenario: Scenario
  readonly rank: (version: number | undefined) => number
  /** Per lane, the entries that matter and what has become of them. */
  readonly lanes: Map<StreamId, string>[]
  /** Writes under way, by who waits for their answers. */
  readonly items: Map<string, string[]>
}

/**
 * As long as every new ticket is above all others, only the order of the old ones matters. Without the clock a lost
 * counter starts anew below them, so the numbers themselves count.
 */
function ranking(world: World, scenario: Scenario): View['rank'] {
  if (scenario.rules.tickets === 'counter') return (version) => version ?? -1
  const versions = world.network.map(({ version }) => version ?? 0)
  for (const { documents, tombstones } of Object.values(world.indices)) {
    for (const row in documents) versions.push(documents[row]!.version)
    for (const row in tombstones) versions.push(tombstones[row]!.version)
  }
  for (const { batches } of world.members) {
    for (const { version, fresh, highest, stored } of batches) {
      versions.push(version, fresh, highest)
      for (const one of stored ?? []) versions.push(one ?? 0)
    }
  }
  for (const row in world.redis.letters) versions.push(world.redis.letters[row]!.ticket)
  if (world.copier !== undefined) versions.push(world.copier.version)
  const inOrder = [...new Set(versions)].sort((a, b) => a - b)
  return (version) => (version === undefined ? -1 : inOrder.indexOf(version))
}

/** Entries that some group has still to do; all of them when a Trimmer cuts the lane. */
function neededEntries({ world, scenario }: View, lane: Lane): Map<StreamId, string> {
  const needed = new Map<StreamId, string>()
  const stream = world.redis.streams[lane]
  if (stream === undefined) return needed
  const groups = Object.values(stream.groups)
  for (const { id, fields } of stream.entries) {
    let text = fields.join(' ')
    let isDone = true
    for (const { lastDelivered, pending } of groups) {
      const holder = pending.find((one) => one.id === id)?.consumer
      const isNew = holder === undefined && isAfter(id, lastDelivered)
      // Who of the living holds it is told with the member.
      if (isNew) text += ' new'
      else if (holder !== undefined)
        text += world.members.some(({ name }) => name === holder) ? ' held' : ' orphan'
      isDone &&= !isNew && holder === undefined
    }
    if (!isDone || scenario.trimmer) needed.set(id, text)
  }
  return needed
}

function textOfIndices({ world, rank }: View): string {
  let text = ''
  for (const name in world.indices) {
    const { documents, tombstones } = world.indices[name]!
    text += ` ${name}`
    for (const row in documents) text += ` ${row} ${rank(documents[row]!.version)} ${documents[row]!.value}`
    for (const row in tombstones) text += ` ${row} ${rank(tombstones[row]!.version)} gone`
  }
  return text
}

function textOfApplication({ world, scenario }: View, one: Application): string {
  const delayed = world.redis.streams.delay?.entries ?? []
  const since = holdsTimeSince(one, scenario.times)
  const age = since === undefined ? -1 : Math.min(scenario.times.delay, world.now - since)
  const entries = one.entries.map((id) => delayed.findIndex((entry) => entry.id === id))
  return `${one.transaction} ${one.phase} ${one.begun} ${one.executed} ${one.toWrite.join()} ${one.isNamed} ${entries.join()} ${age} ${one.stopped}`
}

function textOfMember(view: View, member: Member): string {
  const owned = lanes.map((lane, i) => {
    const pending = view.world.redis.streams[lane]?.groups[member.group]?.pending ?? []
    return pending
      .filter(({ consumer }) => consumer === member.name)
      .map(({ id }) => place(view.lanes[i]!, id))
  })
  const turn = view.world.redis.streams.bulk === undefined ? 0 : member.turn % 8
  const batches = member.batches.map((batch) => textOfBatch(view, batch))
  const claim = member.claim === undefined ? '' : JSON.stringify(member.claim)
  return `${member.group} ${member.silent} ${member.stopped} ${claim} ${owned.join('/')} ${turn} ${batches.join(';')}`
}

/** Before its writes are on their way, a batch itself holds what they will be. */
const unsent: readonly Phase[] = ['ticket', 'look-up-targets', 'teach-targets', 'rows', 'send']

function textOfBatch(view: View, batch: Batch): string {
  const { rank } = view
  const lane = view.lanes[lanes.indexOf(batch.lane)]!
  const parts: unknown[] = [batch.lane, batch.phase, batch.retry]
  for (const { id, fields } of batch.entries) parts.push(place(lane, id), fields)
  if (unsent.includes(batch.phase)) parts.push(rank(batch.version), batch.targets, textOfRows(batch.rows))
  parts.push(inAnyOrder(batch.outcomes.map(({ row, target, fate }) => `${row} ${target} ${fate}`)))
  if (batch.phase === 'look-again' || batch.buried.length > 0)
    parts.push(textOfRows(batch.rows), batch.buried)
  if (batch.fresh > 0 || batch.stored !== undefined)
    parts.push(rank(batch.fresh), rank(batch.highest), batch.stored?.map(rank))
  parts.push(textOfItems(view, batch.attempt))
  return parts.join(' ')
}

function textOfItems({ items }: View, owner: string): string {
  return inAnyOrder(items.get(owner) ?? [])
}

function textOfCopier(view: View): string {
  const { copier } = view.world
  if (copier === undefined) return ''
  const { phase, page, again, from, to, attempt } = copier
  const unsent = phase === 'rows' || phase === 'send' ? view.rank(copier.version) : ''
  const read = phase === 'send' ? JSON.stringify(copier.read) : ''
  return `${phase} ${page} ${again} ${from} ${to} ${unsent} ${read} ${attempt === '' ? '' : textOfItems(view, attempt)}`
}

/** The delay stream: what is in it, and how old it is as far as that matters. */
function textOfDelay({ world: { redis, database, suspects }, scenario: { times } }: View): string {
  const entries = redis.streams.delay?.entries ?? []
  // Which one an open transaction is, is told with its application.
  const text = ({ id, fields }: FakeEntry): string => {
    const named = transactionOf(fields)
    if (named === undefined) return fields.join(' ')
    const state = hasId(named) ? (database.ended[named] ?? 'open') : (suspects[id]?.join() ?? 'some')
    return `${state} ${fields.slice(2).join(' ')}`
  }
  return entries
    .map((entry) => `${text(entry)} ${Math.min(times.delay, nowMs(redis) - idMs(entry.id))}`)
    .join(';')
}

function textOfRows(rows: Readonly<Record<string, Row>>): string {
  let text = ''
  for (const row in rows) text += ` ${row} ${rows[row]!.state} ${rows[row]!.commit}`
  return text
}

function place(entries: ReadonlyMap<StreamId, string>, id: StreamId): number {
  if (!entries.has(id)) return -1
  return [...entries.keys()].indexOf(id)
}

function inAnyOrder(texts: string[]): string {
  return texts.length < 2 ? (texts[0] ?? '') : texts.sort().join('|')
}
