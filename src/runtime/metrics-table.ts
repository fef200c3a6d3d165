/** One metric, by Prometheus' conventions: https://prometheus.io/docs/practices/naming/ */
export interface MetricRow {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly Label[]
  /** One sentence; the help text of the metric. */
  readonly meaning: string
}

/** What tells the series of a metric apart. */
export type Label =
  | 'stream'
  | 'group'
  | 'lane'
  | 'outcome'
  | 'stage'
  | 'reception'
  | 'kind'
  | 'step'
  | 'slot'
  | 'index'

/**
 * Every metric: what the registry, `docs/reference/metrics.md` and the check of `config/alerts.yml` and
 * `config/grafana.json` are made from. Counters and histograms count what this process did; gauges describe the
 * streams, and every process shows the same.
 */
export const metrics = {
  delivered: {
    name: 'redstream_entries_delivered_total',
    type: 'counter',
    labels: ['stream', 'group', 'lane'],
    meaning: 'Entries that this process was the first to read.',
  },
  takenOver: {
    name: 'redstream_entries_taken_over_total',
    type: 'counter',
    labels: ['stream', 'group', 'lane'],
    meaning: 'Entries that this process took over from consumers that died.',
  },
  acknowledged: {
    name: 'redstream_entries_acknowledged_total',
    type: 'counter',
    labels: ['stream', 'group', 'lane'],
    meaning: 'Entries that this process finished.',
  },
  documents: {
    name: 'redstream_documents_total',
    type: 'counter',
    labels: ['stream', 'outcome'],
    meaning:
      'Documents written or deleted (applied), not written because a newer state was there (superseded), ' +
      'to be tried again (retried, each attempt counts), or made dead letters (dead).',
  },
  stageSeconds: {
    name: 'redstream_batch_stage_seconds',
    type: 'histogram',
    labels: ['stream', 'stage'],
    meaning:
      'Time of each stage of a batch: ticket (Redis), load (database), build (documents), index (Elasticsearch), ' +
      'settle (Redis).',
  },
  bulkRequests: {
    name: 'redstream_bulk_requests_total',
    type: 'counter',
    labels: ['stream', 'reception'],
    meaning:
      'Bulk requests by how Elasticsearch took them: well, slowly (more than 5 s), or refused (some of it, or no answer).',
  },
  windowRequests: {
    name: 'redstream_bulk_window_requests',
    type: 'gauge',
    labels: ['stream'],
    meaning:
      'Bulk requests that this process may have in flight, besides one for single changes; less than the setting concurrency while Elasticsearch refuses some.',
  },
  windowDocuments: {
    name: 'redstream_bulk_window_documents',
    type: 'gauge',
    labels: ['stream'],
    meaning:
      'Most documents in a bulk request of this process; less than the setting batchSize while Elasticsearch refuses some.',
  },
  failures: {
    name: 'redstream_failures_total',
    type: 'counter',
    labels: ['kind', 'stream', 'step'],
    meaning:
      'Steps of a worker that failed and are tried again: read, ticket, load, index, settle, requeue, trim …',
  },
  requeued: {
    name: 'redstream_messages_requeued_total',
    type: 'counter',
    labels: ['stream'],
    meaning:
      'Delay messages re-queued because no publish removed them: a process died, or could not publish.',
  },
  relayed: {
    name: 'redstream_outbox_rows_relayed_total',
    type: 'counter',
    labels: [],
    meaning: 'Rows of the outbox that this process published.',
  },
  setAside: {
    name: 'redstream_outbox_rows_set_aside_total',
    type: 'counter',
    labels: [],
    meaning:
      'Rows of the outbox that this process could not read; they stay there, and may be missing in the index.',
  },
  trimmed: {
    name: 'redstream_entries_trimmed_total',
    type: 'counter',
    labels: ['stream'],
    meaning: 'Entries removed because every group is done with them.',
  },
  counterRaised: {
    name: 'redstream_ticket_counter_raised_total',
    type: 'counter',
    labels: ['stream'],
    meaning:
      'Times that the ticket counter was behind the index: Redis lost data, or a clock is wrong. Mended each time.',
  },
  groupRecreated: {
    name: 'redstream_group_recreated_total',
    type: 'counter',
    labels: ['stream', 'group'],
    meaning:
      'Times that a consumer group or its stream had been deleted: changes may be missing in the index.',
  },
  groupsDropped: {
    name: 'redstream_groups_dropped_total',
    type: 'counter',
    labels: ['stream', 'group'],
    meaning:
      'Consumer groups of your own that were removed because nobody served them for dropGroupAfter, per partition.',
  },
  lettersRefused: {
    name: 'redstream_dead_letters_refused_total',
    type: 'counter',
    labels: ['stream'],
    meaning: 'Rows that found no room among the dead letters; they are tried again and hold up others.',
  },
  redisUp: {
    name: 'redstream_redis_up',
    type: 'gauge',
    labels: [],
    meaning: '1 when Redis answered this scrape; when 0, the gauges of the streams and workers are missing.',
  },
  entries: {
    name: 'redstream_stream_entries',
    type: 'gauge',
    labels: ['stream', 'lane'],
    meaning: 'Entries in a lane, done or not.',
  },
  undelivered: {
    name: 'redstream_stream_undelivered_entries',
    type: 'gauge',
    labels: ['stream', 'lane'],
    meaning: 'Entries that the slowest group has not read.',
  },
  pending: {
    name: 'redstream_stream_pending_entries',
    type: 'gauge',
    labels: ['stream', 'lane'],
    meaning: 'Entries that are read and not acknowledged, of all groups.',
  },
  lag: {
    name: 'redstream_stream_lag_seconds',
    type: 'gauge',
    labels: ['stream', 'lane'],
    meaning: 'Age of the oldest entry that some group is not done with; 0 when there is none.',
  },
  delayEntries: {
    name: 'redstream_delay_entries',
    type: 'gauge',
    labels: ['stream'],
    meaning: 'Entries in the delay stream: open transactions, and what dead processes left behind.',
  },
  delayAge: {
    name: 'redstream_delay_age_seconds',
    type: 'gauge',
    labels: ['stream'],
    meaning:
      'Age of the oldest entry in the delay stream; above the setting delay when no Delayer works, or a transaction does not end.',
  },
  deadLetters: {
    name: 'redstream_dead_letters',
    type: 'gauge',
    labels: ['stream'],
    meaning: 'Rows that cannot be indexed until somebody mends them.',
  },
  outboxRows: {
    name: 'redstream_outbox_rows',
    type: 'gauge',
    labels: [],
    meaning: 'Rows of the outbox that no relay has published yet.',
  },
  outboxAge: {
    name: 'redstream_outbox_age_seconds',
    type: 'gauge',
    labels: [],
    meaning: 'Age of the first of them; 0 when there is none.',
  },
  outboxUnreadable: {
    name: 'redstream_outbox_unreadable_rows',
    type: 'gauge',
    labels: [],
    meaning: 'Rows of the outbox that no relay could read.',
  },
  unservedGroupAge: {
    name: 'redstream_unserved_group_age_seconds',
    type: 'gauge',
    labels: ['stream', 'group'],
    meaning:
      'Time since a consumer group of your own was last served; missing while somebody serves it, and for a minute after.',
  },
  unservedGroupEntries: {
    name: 'redstream_unserved_group_entries',
    type: 'gauge',
    labels: ['stream', 'group'],
    meaning: 'Entries that wait for a consumer group that nobody serves; they hold the stream.',
  },
  logBytes: {
    name: 'redstream_log_kept_bytes',
    type: 'gauge',
    labels: ['slot'],
    meaning:
      'Log (WAL) that the database keeps for the replication slot (capture "wal"); missing when there is no slot.',
  },
  logLag: {
    name: 'redstream_log_lag_seconds',
    type: 'gauge',
    labels: ['slot'],
    meaning: 'How far the reader of the replication slot is behind, to some 5 s.',
  },
  logRead: {
    name: 'redstream_log_read',
    type: 'gauge',
    labels: ['slot'],
    meaning: '1 when a follower reads the log of the database, 0 when nobody does or there is no slot.',
  },
  verifyDue: {
    name: 'redstream_verify_due',
    type: 'gauge',
    labels: ['index'],
    meaning: '1 for each index that misses changes since a replication slot was lost, until it is verified.',
  },
  workers: {
    name: 'redstream_workers',
    type: 'gauge',
    labels: ['kind'],
    meaning:
      'Processes that have a worker of this kind and gave a sign of life in the last 10 s, with this namespace.',
  },
  workerProgress: {
    name: 'redstream_worker_progress_age_seconds',
    type: 'gauge',
    labels: ['kind'],
    meaning: 'Time since the slowest of these workers last got something done, or found nothing to do.',
  },
} as const satisfies Record<string, MetricRow>

/** Upper bounds of the histograms' buckets, in seconds: a stage takes about 1 ms at best, and 30 s at its time-out. */
export const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
