import { DataSource } from 'typeorm'
import { defineConfig } from 'redstream'

// Every setting with its default; copy what you change to config/redstream.ts. docs/reference/options.md says more.
export default defineConfig({
  // The application's DataSource, or a function that makes it: import it from your application.
  dataSource: new DataSource({ type: 'postgres', url: process.env['DATABASE_URL'] ?? '', entities: [] }),

  // A URL, options of ioredis (TLS, ACL user, Sentinel), or { cluster: [{ host, port }], options }.
  redis: process.env['REDIS_URL'] ?? 'redis://localhost:6379',

  // A URL, or options of the Elasticsearch client (TLS, basic auth, API key).
  elasticsearch: process.env['ELASTICSEARCH_URL'] ?? 'http://localhost:9200',

  // What `document()` finds in its context as `services`, or a function that makes it. Default: none.
  // services: () => ({ prices: new PriceList() }),

  // Prefix of every Redis key, for applications that share a Redis; the application's side needs the same.
  namespace: '',

  // Who tells which rows have changed: 'subscriber' (TypeORM's events and statements, straight to Redis), 'outbox' (the
  // same, through a table), 'trigger' or 'wal' (PostgreSQL itself). docs/guarantees.md compares them.
  capture: 'subscriber',
  // The schema (PostgreSQL) or the beginning of the names of what captures changes in the database.
  captureSchema: 'redstream',
  // Longest pause of the Relay between two looks into the outbox; on PostgreSQL it is woken besides.
  relayPoll: '500ms',

  // With capture 'wal': the most log that PostgreSQL may keep for the replication slot. Beyond it the slot is dropped, so
  // that the database's disk stays free, and the indices must be verified; 0 for no limit. Warnings come before.
  walMaxLag: '10gb',
  walWarnLag: '1gb',

  delay: {
    // Age at which a delay message is re-queued, if the database cannot be asked before. Where it cannot be asked at all
    // (see `ask`), it must be longer than the longest transaction, from its first save to the end of its commit: a shorter
    // one can lose a change. `delay: '5m'` is the short form.
    after: '5m',
    // 'orphaned': only delay messages that no publish removed; 'always': all of them, which indexes everything twice.
    requeue: 'orphaned',
    // 'on': the Delayer asks PostgreSQL (from 13 on) if a transaction has ended, about a second later; then no transaction
    // is too long. 'off': only the age of the messages decides.
    ask: 'on',
  },

  // How long messages stay in the main stream at least, even when every group is done with them.
  retention: 0,

  // Pause between two passes of the trimmer.
  trimInterval: '1s',

  // A consumer group of your own that nobody has served for this long is removed, with what waits for it: 0 for never.
  dropGroupAfter: 0,

  // Messages that a consumer reads at once.
  batchSize: 1_000,

  // Bulk requests in flight; half as many batches are read ahead, each on a connection of the DataSource's pool.
  concurrency: 4,

  // Largest bulk request; a batch with more is sent in several.
  bulkBytes: '8mb',

  // A consumer without a heartbeat for this long counts as dead, and others take its messages over.
  takeOverAfter: '2s',

  // A batch that took its ticket longer ago is read again instead of sent. At most half of the index setting
  // gc_deletes (1h).
  ticketMaxAge: '10m',

  // Most dead letters that a partition of a stream holds. Rows that fail beyond it are not dropped: they hold up their
  // stream until there is room.
  deadLetterCap: 10_000,

  // When Redis does not accept the delay message of a write: 'reject' fails the write before its commit, 'accept' logs
  // a warning, and the change may be missing in the index.
  onUnavailable: 'reject',

  // On a write of which it cannot be known which rows it changes: 'warn', 'throw' or 'ignore'.
  uncaptured: 'warn',

  // 'on': TypeORM's query builders are wrapped, so that every update, delete and insert says which rows it changed.
  returning: 'on',

  // A statement of a query builder outside a transaction: 'wrap' gives it one of its own, so that a crash loses nothing;
  // 'publish' publishes its changes when it is done.
  outsideTransaction: 'wrap',

  // Longest wait for an answer of Redis; it bounds what a save waits before its commit.
  redisTimeout: '5s',

  // Longest wait for an answer of Elasticsearch.
  requestTimeout: '30s',

  // Where worker processes answer /health/live, /health/ready and /metrics: 'HOST:PORT', or 'PORT' for 127.0.0.1.
  http: '',

  // A worker that gives no sign of life for this long hangs, and /health/live says so. Longer than requestTimeout.
  stallAfter: '1m',

  // How far behind the main lane of a stream may be before `redstream health` complains.
  maxLag: '1m',

  // How long the old index is kept up to date after a reindex, for `redstream rollback`. It takes its room on the disks.
  keepOld: '1h',

  // How far behind the main lane may be before the copy of a reindex slows down for it.
  copyLag: '2s',
})
