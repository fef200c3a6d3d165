import { beforeEach, describe, expect, it } from 'vitest'

import { Events } from '../../src/runtime/events.ts'
import { metrics as table, type MetricRow } from '../../src/runtime/metrics-table.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'
import type { Status } from '../../src/sync/pipeline.ts'
import { recordingLogger } from '../support/captured.ts'

const rows: MetricRow[] = Object.values(table)

const usual: readonly WorkerKind[] = ['consumer', 'delayer', 'trimmer']

let events: Events
let metrics: Metrics

beforeEach(() => {
  events = new Events(recordingLogger([]))
  metrics = new Metrics(events, ['cities'])
})

async function lines(status?: Status, kinds = usual): Promise<string[]> {
  return (await metrics.scrape(status, kinds))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
}

describe('the table', () => {
  it('keeps to the conventions of Prometheus', () => {
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
    for (const { name, type, meaning } of rows) {
      expect(name).toMatch(/^redstream_[a-z]+(?:_[a-z]+)*$/)
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
      if (type === 'histogram') expect(name).toMatch(/_seconds$/)
      expect(meaning).toMatch(/^[A-Z0-9].*[.…]$/)
    }
  })
})

describe('counters', () => {
  it('begin at 0, so that the first event is an increase', async () => {
    const zeros = await lines()
    expect(zeros).toContain('redstream_ticket_counter_raised_total{stream="cities"} 0')
    expect(zeros).toContain('redstream_documents_total{stream="cities",outcome="dead"} 0')
    expect(zeros).toContain('redstream_entries_delivered_total{stream="cities",group="index",lane="bulk"} 0')
  })

  it('count the events', async () => {
    const group = { stream: 'cities', group: 'index', lane: 'main', entries: 5 } as const
    const window = { requests: 1.5, documents: 500.5, bytes: 1_000 }
    events.tell('delivered', group)
    events.tell('delivered', group)
    events.tell('takenOver', group)
    events.tell('settled', { ...group, seconds: 0.002 })
    events.tell('indexed', {
      stream: 'cities',
      documents: { applied: 3, superseded: 1, retried: 2, dead: 4 },
      seconds: { ticket: 0.001, load: 0.02, build: 0.003, index: 4 },
    })
    events.tell('answered', { stream: 'cities', reception: 'refused', window })
    events.tell('failed', { kind: 'consumer', stream: 'cities', step: 'load' })
    events.tell('requeued', { stream: 'cities', messages: 6 })
    events.tell('trimmed', { stream: 'cities', entries: 7 })
    events.tell('counterRaised', { stream: 'cities', partition: 0 })
    events.tell('groupRecreated', { stream: 'cities', partition: 0, group: 'index' })
    events.tell('groupDropped', { stream: 'cities', partition: 0, group: 'cache' })
    events.tell('lettersRefused', { stream: 'cities', partition: 0, rows: 8 })
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'redstream_entries_delivered_total{stream="cities",group="index",lane="main"} 10',
        'redstream_entries_taken_over_total{stream="cities",group="index",lane="main"} 5',
        'redstream_entries_acknowledged_total{stream="cities",group="index",lane="main"} 5',
        'redstream_documents_total{stream="cities",outcome="applied"} 3',
        'redstream_documents_total{stream="cities",outcome="superseded"} 1',
        'redstream_documents_total{stream="cities",outcome="retried"} 2',
        'redstream_documents_total{stream="cities",outcome="dead"} 4',
        'redstream_batch_stage_seconds_bucket{le="2.5",stream="cities",stage="index"} 0',
        'redstream_batch_stage_seconds_bucket{le="5",stream="cities",stage="index"} 1',
        'redstream_batch_stage_seconds_sum{stream="cities",stage="load"} 0.02',
        'redstream_batch_stage_seconds_count{stream="cities",stage="settle"} 1',
        'redstream_bulk_requests_total{stream="cities",reception="refused"} 1',
        'redstream_bulk_window_requests{stream="cities"} 1',
        'redstream_bulk_window_documents{stream="cities"} 500',
        'redstream_failures_total{kind="consumer",stream="cities",step="load"} 1',
        'redstream_messages_requeued_total{stream="cities"} 6',
        'redstream_entries_trimmed_total{stream="cities"} 7',
        'redstream_ticket_counter_raised_total{stream="cities"} 1',
        'redstream_group_recreated_total{stream="cities",group="index"} 1',
        'redstream_groups_dropped_total{stream="cities",group="cache"} 1',
        'redstream_dead_letters_refused_total{stream="cities"} 8',
      ]),
    )
  })
})

describe('gauges', () => {
  const status: Status = {
    streams: [
      {
        name: 'cities',
        main: { length: 1, undelivered: 2, pending: 3, lagMs: 4_500 },
        bulk: { length: 5, undelivered: 6, pending: 7, lagMs: 0 },
        delay: { length: 8, oldestMs: 9_000 },
        deadLetters: 10,
        unservedGroups: [{ group: 'cache', entries: 11, unservedMs: 90_000 }],
      },
    ],
    workers: [
      { kind: 'consumer', host: 'a', pid: 1, seenMs: 100, progressMs: 500 },
      { kind: 'consumer', host: 'b', pid: 2, seenMs: 200, progressMs: 70_000 },
      { kind: 'delayer', host: 'b', pid: 2, seenMs: 30_000, progressMs: 30_000 },
    ],
  }

  it('show the status', async () => {
    expect(await lines(status)).toEqual(
      expect.arrayContaining([
        'redstream_redis_up 1',
        'redstream_stream_entries{stream="cities",lane="bulk"} 5',
        'redstream_stream_undelivered_entries{stream="cities",lane="main"} 2',
        'redstream_stream_pending_entries{stream="cities",lane="main"} 3',
        'redstream_stream_lag_seconds{stream="cities",lane="main"} 4.5',
        'redstream_delay_entries{stream="cities"} 8',
        'redstream_delay_age_seconds{stream="cities"} 9',
        'redstream_dead_letters{stream="cities"} 10',
        'redstream_unserved_group_age_seconds{stream="cities",group="cache"} 90',
        'redstream_unserved_group_entries{stream="cities",group="cache"} 11',
        'redstream_workers{kind="consumer"} 2',
        'redstream_workers{kind="delayer"} 0',
        'redstream_workers{kind="trimmer"} 0',
        'redstream_worker_progress_age_seconds{kind="consumer"} 70',
      ]),
    )
  })

  it('are left out when Redis does not answer, rather than stale', async () => {
    await lines(status)
    const without = await lines()
    expect(without).toContain('redstream_redis_up 0')
    expect(
      without.filter((line) => /^redstream_(stream|delay_|dead_letters\{|unserved|worker)/.test(line)),
    ).toEqual([])
  })
})
