import { Counter, Gauge, Histogram, Registry } from 'prom-client'

import type { OutboxStatus } from '../outbox/queue.ts'
import type { StreamStatus } from '../streams/inspect.ts'
import { lanes } from '../streams/keys.ts'
import type { Status } from '../sync/pipeline.ts'
import type { LogStatus } from '../wal/log-status.ts'
import { documentOutcomes, indexStages, type Events } from './events.ts'
import { aliveWorkers } from './health.ts'
import { metrics as table, secondsBuckets, type Label, type MetricRow } from './metrics-table.ts'
import { workerKinds, type WorkerKind } from './worker.ts'

type Labels = Partial<Record<Label, string>>

/**
 * Counts the events of this process and shows the state of the streams, in Prometheus' text format.
 *
 * A counter that appears with its first event hides that event from `increase()`, so those whose labels are known
 * beforehand begin at 0.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #counters = new Map<string, Counter<Label>>()
  readonly #gauges = new Map<string, Gauge<Label>>()
  readonly #stageSeconds: Histogram<Label>

  /** @param streams - names of the streams that the workers of this process serve */
  constructor(events: Events, streams: readonly string[]) {
    const { stageSeconds } = table
    this.#stageSeconds = new Histogram({ ...this.#definition(stageSeconds), buckets: secondsBuckets })
    for (const row of Object.values<MetricRow>(table)) {
      if (row.type === 'counter') this.#counters.set(row.name, this.#counterFromZero(row, streams))
      if (row.type === 'gauge') this.#gauges.set(row.name, new Gauge(this.#definition(row)))
    }
    this.#count(events)
  }

  /** The content type of {@link scrape}. */
  get contentType(): string {
    return this.#registry.contentType
  }

  /**
   * @param status - undefined when Redis does not answer: the gauges that came from it are left out
   * @param kinds - the kinds of workers that are needed: of these, none alive is told as 0
   */
  async scrape(status: Status | undefined, kinds: readonly WorkerKind[]): Promise<string> {
    this.#describe(status, kinds)
    return this.#registry.metrics()
  }

  #count(events: Events): void {
    const add = (row: MetricRow, count: number, labels: Labels): void =>
      this.#counters.get(row.name)?.inc(labels, count)
    const seconds = (stream: string, stage: string, value: number): void =>
      this.#stageSeconds.observe({ stream, stage }, value)

    events.on('delivered', ({ entries, ...labels }) => add(table.delivered, entries, labels))
    events.on('takenOver', ({ entries, ...labels }) => add(table.takenOver, entries, labels))
    events.on('settled', ({ entries, seconds: taken, ...labels }) => {
      add(table.acknowledged, entries, labels)
      seconds(labels.stream, 'settle', taken)
    })
    events.on('indexed', ({ stream, documents, seconds: taken }) => {
      for (const outcome of documentOutcomes) add(table.documents, documents[outcome], { stream, outcome })
      for (const stage of indexStages) seconds(stream, stage, taken[stage])
    })
    events.on('answered', ({ stream, reception, window }) => {
      add(table.bulkRequests, 1, { stream, reception })
      this.#set(table.windowRequests, Math.floor(window.requests), { stream })
      this.#set(table.windowDocuments, Math.floor(window.documents), { stream })
    })
    events.on('failed', (labels) => add(table.failures, 1, labels))
    events.on('requeued', ({ stream, messages }) => add(table.requeued, messages, { stream }))
    events.on('relayed', ({ entries }) => add(table.relayed, entries, {}))
    events.on('setAside', ({ entries }) => add(table.setAside, entries, {}))
    events.on('trimmed', ({ stream, entries }) => add(table.trimmed, entries, { stream }))
    events.on('counterRaised', ({ stream }) => add(table.counterRaised, 1, { stream }))
    events.on('groupRecreated', ({ stream, group }) => add(table.groupRecreated, 1, { stream, group }))
    events.on('groupDropped', ({ stream, group }) => add(table.groupsDropped, 1, { stream, group }))
    events.on('lettersRefused', ({ stream, rows }) => add(table.lettersRefused, rows, { stream }))
  }

  #describe(status: Status | undefined, kinds: readonly WorkerKind[]): void {
    for (const row of [...perStream, ...ofOutbox, ...ofLog, table.workers, table.workerProgress])
      this.#gauges.get(row.name)?.reset()
    this.#set(table.redisUp, status === undefined ? 0 : 1, {})
    if (status === undefined) return
    for (const stream of status.streams) this.#describeStream(stream)
    this.#describeOutbox(status.outbox)
    if (status.log !== undefined) this.#describeLog(status.log)
    const alive = aliveWorkers(status.workers)
    for (const kind of workerKinds) {
      const ofKind = alive.filter((worker) => worker.kind === kind)
      if (ofKind.length === 0 && !kinds.includes(kind)) continue
      this.#set(table.workers, ofKind.length, { kind })
      if (ofKind.length === 0) continue
      const slowestMs = Math.max(...ofKind.map(({ progressMs }) => progressMs))
      this.#set(table.workerProgress, slowestMs / 1_000, { kind })
    }
  }

  #describeOutbox(outbox: OutboxStatus | undefined): void {
    if (outbox === undefined) return
    this.#set(table.outboxRows, outbox.length, {})
    this.#set(table.outboxAge, outbox.oldestMs / 1_000, {})
    this.#set(table.outboxUnreadable, outbox.setAside, {})
  }

  #describeStream({ name: stream, delay, deadLetters, unservedGroups, ...laneStatus }: StreamStatus): void {
    for (const lane of lanes) {
      const { length, undelivered, pending, lagMs } = laneStatus[lane]
      this.#set(table.entries, length, { stream, lane })
      this.#set(table.undelivered, undelivered, { stream, lane })
      this.#set(table.pending, pending, { stream, lane })
      this.#set(table.lag, lagMs / 1_000, { stream, lane })
    }
    this.#set(table.delayEntries, delay.length, { stream })
    this.#set(table.delayAge, delay.oldestMs / 1_000, { stream })
    this.#set(table.deadLetters, deadLetters, { stream })
    for (const { group, entries, unservedMs } of unservedGroups) {
      this.#set(table.unservedGroupAge, unservedMs / 1_000, { stream, group })
      this.#set(table.unservedGroupEntries, entries, { stream, group })
    }
  }

  #describeLog({ slot, state, keptBytes, lagMs, verify }: LogStatus): void {
    this.#set(table.logRead, state === 'read' ? 1 : 0, { slot })
    if (keptBytes !== null) this.#set(table.logBytes, keptBytes, { slot })
    if (lagMs !== null) this.#set(table.logLag, lagMs / 1_000, { slot })
    for (const { index } of verify) this.#set(table.verifyDue, 1, { index })
  }

  #set(row: MetricRow, value: number, labels: Labels): void {
    this.#gauges.get(row.name)?.set(labels, value)
  }

  #definition({ name, meaning, labels }: MetricRow) {
    return { name, help: meaning, labelNames: labels, registers: [this.#registry] }
  }

  #counterFromZero(row: MetricRow, streams: readonly string[]): Counter<Label> {
    const counter = new Counter(this.#definition(row))
    const values: Partial<Record<Label, readonly string[]>> = { ...knownValues, stream: streams }
    // A label whose values are not known (`step`) has no combinations.
    const combinations = row.labels.reduce<Labels[]>(
      (all, label) =>
        all.flatMap((one) => (values[label] ?? []).map((value) => ({ ...one, [label]: value }))),
      [{}],
    )
    for (const labels of combinations) counter.inc(labels, 0)
    return counter
  }
}

const perStream: readonly MetricRow[] = [
  table.entries,
  table.undelivered,
  table.pending,
  table.lag,
  table.delayEntries,
  table.delayAge,
  table.deadLetters,
  table.unservedGroupAge,
  table.unservedGroupEntries,
]

const ofOutbox: readonly MetricRow[] = [table.outboxRows, table.outboxAge, table.outboxUnreadable]
const ofLog: readonly MetricRow[] = [table.logBytes, table.logLag, table.logRead, table.verifyDue]

const knownValues: Partial<Record<Label, readonly string[]>> = {
  group: ['index'],
  lane: lanes,
  outcome: documentOutcomes,
  reception: ['well', 'slowly', 'refused'],
}
