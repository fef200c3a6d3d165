import { captureModes } from '../capture/modes.ts'
import type { WorkerKind } from './worker.ts'

/** Who reads a setting: the application's side (`Redstream.attach`), a kind of worker, or a command. */
export type Reader =
  | 'application'
  | WorkerKind
  | 'init'
  | 'uninstall'
  | 'status'
  | 'health'
  | 'reindex'
  | 'verify'
  | 'audit'

interface OptionBase<T> {
  /** Its place in the configuration file. */
  readonly key: string
  /** Without the dashes; undefined when no command reads it. */
  readonly flag?: string
  readonly env: string
  readonly default: T
  readonly usedBy: readonly Reader[]
  /** One sentence. */
  readonly meaning: string
  /** What goes wrong with a bad value. */
  readonly danger?: string
}

/** A whole number: of milliseconds for `duration`, of bytes for `bytes`. */
export interface NumberOption extends OptionBase<number> {
  readonly kind: 'duration' | 'integer' | 'bytes'
  readonly min: number
  readonly max: number
  /** What 0 means where it is allowed below `min`. */
  readonly zero?: string
}

export interface ChoiceOption<T extends string = string> extends OptionBase<T> {
  readonly kind: 'choice'
  readonly choices: readonly T[]
}

export interface TextOption extends OptionBase<string> {
  readonly kind: 'text'
  readonly pattern: RegExp
  /** What the pattern allows, in words. */
  readonly allowed: string
  /** What the help shows in place of a value. */
  readonly placeholder: string
}

/** One row of the table. */
export type Option = NumberOption | ChoiceOption | TextOption

const second = 1_000
const minute = 60 * second
const day = 24 * 60 * minute
const mebibyte = 1024 * 1024
const gibibyte = 1024 * mebibyte
const everyWorker: readonly Reader[] = ['consumer', 'delayer', 'trimmer', 'relay', 'follower']
const everyCommand: readonly Reader[] = [...everyWorker, 'init', 'status', 'health', 'reindex', 'verify']
const everyone: readonly Reader[] = ['application', ...everyCommand, 'audit']

/**
 * Every setting, by its name in `Settings`: what parses the configuration file, the flags and the environment, and what
 * the help texts and `docs/reference/options.md` are made from.
 */
export const options = {
  namespace: {
    key: 'namespace',
    flag: 'namespace',
    env: 'REDSTREAM_NAMESPACE',
    kind: 'text',
    default: '',
    // Braces would change the hash tag, and with it the cluster slot of the keys.
    pattern: /^[^\s{}]{0,100}$/,
    allowed: 'up to 100 characters without spaces and braces',
    placeholder: 'text',
    usedBy: everyone,
    meaning: 'Prefix of every Redis key, for applications that share a Redis.',
    danger:
      'Application and workers must use the same; after a change, messages under the old prefix are not seen.',
  },
  capture: {
    key: 'capture',
    flag: 'capture',
    env: 'REDSTREAM_CAPTURE',
    kind: 'choice',
    choices: captureModes,
    default: 'subscriber',
    usedBy: everyone,
    meaning:
      'Who tells which rows have changed: "subscriber" (what TypeORM does, straight to Redis), "outbox" (the same, through a table in the same transaction), "trigger" (triggers of PostgreSQL fill that table), "wal" (the log of PostgreSQL). An index may have its own, `capture` in @Indexed.',
    danger:
      'Application and workers must use the same; run `redstream init` and start the new workers before the application changes over.',
  },
  captureSchema: {
    key: 'captureSchema',
    flag: 'capture-schema',
    env: 'REDSTREAM_CAPTURE_SCHEMA',
    kind: 'text',
    default: 'redstream',
    pattern: /^[a-z_][a-z0-9_]{0,39}$/,
    allowed: 'up to 40 small letters, digits and underscores',
    placeholder: 'name',
    usedBy: [...everyone, 'uninstall'],
    meaning:
      'Where the database has what captures changes: on PostgreSQL a schema of this name with the table "outbox" and the triggers’ functions, elsewhere a table of this name followed by "_outbox"; also the beginning of the names of the publication and the replication slot.',
    danger: 'Applications with several Redstreams on one database need one each.',
  },
  relayPollMs: {
    key: 'relayPoll',
    flag: 'relay-poll',
    env: 'REDSTREAM_RELAY_POLL',
    kind: 'duration',
    default: 500,
    min: 10,
    max: minute,
    usedBy: ['relay'],
    meaning:
      'Longest pause of the Relay between two looks into the outbox; on PostgreSQL it is woken besides, and looks at once.',
    danger: 'On other databases, a change arrives in the index so much later.',
  },
  walMaxLag: {
    key: 'walMaxLag',
    flag: 'wal-max-lag',
    env: 'REDSTREAM_WAL_MAX_LAG',
    kind: 'bytes',
    default: 10 * gibibyte,
    min: mebibyte,
    max: 1024 * gibibyte,
    zero: 'no limit',
    usedBy: ['follower'],
    meaning:
      'With capture "wal", the most log (WAL) that PostgreSQL may keep for the replication slot: beyond it the slot is dropped, so that the database’s disk stays free, and the indices must be verified; 0 for no limit.',
    danger:
      'Too small, and a longer outage costs a verification of all indices; more than the free room on the disk, and the database may stop.',
  },
  walWarnLag: {
    key: 'walWarnLag',
    flag: 'wal-warn-lag',
    env: 'REDSTREAM_WAL_WARN_LAG',
    kind: 'bytes',
    default: gibibyte,
    min: mebibyte,
    max: 1024 * gibibyte,
    usedBy: ['follower', 'health'],
    meaning:
      'With capture "wal", how much log PostgreSQL may keep for the replication slot before the follower warns and `redstream health` complains.',
  },
  delayMs: {
    key: 'delay',
    flag: 'delay',
    env: 'REDSTREAM_DELAY',
    kind: 'duration',
    default: 5 * minute,
    min: 1,
    max: 30 * day,
    usedBy: ['delayer'],
    meaning:
      'Age at which a delay message is re-queued, which heals what a process left behind that died between commit and publish; sooner where the database can be asked (`delay.ask`).',
    danger:
      'Where it cannot, must be longer than the longest transaction, from its first save to the end of its commit; where it can, than the commit itself: a shorter one can lose a change.',
  },
  requeue: {
    key: 'delay.requeue',
    env: 'REDSTREAM_REQUEUE',
    kind: 'choice',
    choices: ['orphaned', 'always'],
    default: 'orphaned',
    usedBy: ['application'],
    meaning:
      'Which delay messages are re-queued: only those that no publish removed, or every one, as the gem redstream does.',
    danger: 'With "always" everything is indexed twice.',
  },
  ask: {
    key: 'delay.ask',
    flag: 'ask',
    env: 'REDSTREAM_ASK',
    kind: 'choice',
    choices: ['on', 'off'],
    default: 'on',
    usedBy: ['application', 'delayer'],
    meaning:
      'Whether the Delayer asks the database if the transaction of a delay message has ended, about a second later (PostgreSQL from 13 on): then a crash is healed without waiting for the delay, and no transaction is too long.',
    danger: 'With "off", on other databases and with requeue "always", only the age decides, see `delay`.',
  },
  retentionMs: {
    key: 'retention',
    flag: 'retention',
    env: 'REDSTREAM_RETENTION',
    kind: 'duration',
    default: 0,
    min: 0,
    max: 365 * day,
    usedBy: ['trimmer'],
    meaning: 'How long messages stay in the main stream at least, even when every group is done with them.',
    danger: 'Redis holds them in memory.',
  },
  trimIntervalMs: {
    key: 'trimInterval',
    flag: 'trim-interval',
    env: 'REDSTREAM_TRIM_INTERVAL',
    kind: 'duration',
    default: second,
    min: 10,
    max: day,
    usedBy: ['trimmer'],
    meaning: 'Pause between two passes of the trimmer.',
  },
  dropGroupAfterMs: {
    key: 'dropGroupAfter',
    flag: 'drop-group-after',
    env: 'REDSTREAM_DROP_GROUP_AFTER',
    kind: 'duration',
    default: 0,
    min: 10 * minute,
    max: 3_650 * day,
    zero: 'never',
    usedBy: ['trimmer'],
    meaning:
      'A consumer group of your own that nobody has served for this long, with messages that have waited as long, is removed, so that it no longer holds the stream; 0 for never.',
    danger: 'The group misses what waited for it, and begins anew when it comes back.',
  },
  batchSize: {
    key: 'batchSize',
    flag: 'batch-size',
    env: 'REDSTREAM_BATCH_SIZE',
    kind: 'integer',
    default: 1_000,
    min: 1,
    max: 10_000,
    usedBy: ['application', 'consumer', 'reindex', 'verify'],
    meaning:
      'Messages that a consumer reads at once; from the bulk lane at most 250 while single changes come in.',
  },
  concurrency: {
    key: 'concurrency',
    flag: 'concurrency',
    env: 'REDSTREAM_CONCURRENCY',
    kind: 'integer',
    default: 4,
    min: 1,
    max: 64,
    usedBy: ['application', 'consumer'],
    meaning:
      'Bulk requests in flight per stream and process, and one more for single changes, while half as many batches are read ahead (with 1, none); of your own groups, batches in flight.',
    danger:
      'Each batch that is read uses a database connection, so the pool of the DataSource must have half as many again, and one.',
  },
  bulkBytes: {
    key: 'bulkBytes',
    flag: 'bulk-bytes',
    env: 'REDSTREAM_BULK_BYTES',
    kind: 'bytes',
    default: 8 * mebibyte,
    min: 64 * 1024,
    max: 100 * mebibyte,
    usedBy: ['consumer', 'reindex', 'verify'],
    meaning: 'Largest bulk request; a batch with more is sent in several.',
    danger: 'Elasticsearch refuses requests above its http.max_content_length (100 MB by default).',
  },
  takeOverAfterMs: {
    key: 'takeOverAfter',
    flag: 'take-over-after',
    env: 'REDSTREAM_TAKE_OVER_AFTER',
    kind: 'duration',
    default: 2 * second,
    min: second,
    max: 60 * minute,
    usedBy: ['application', 'consumer', 'reindex'],
    meaning:
      'A consumer without a heartbeat for this long counts as dead, and others take its messages over.',
    danger: 'A false alarm does no harm but costs the work twice.',
  },
  ticketMaxAgeMs: {
    key: 'ticketMaxAge',
    flag: 'ticket-max-age',
    env: 'REDSTREAM_TICKET_MAX_AGE',
    kind: 'duration',
    default: 10 * minute,
    min: second,
    max: 30 * minute,
    usedBy: ['consumer', 'init', 'reindex', 'verify'],
    meaning: 'A batch that took its ticket longer ago is read again instead of sent.',
    danger:
      'Must be at most half of the index setting gc_deletes (1h): a later write could bring a deleted document back.',
  },
  deadLetterCap: {
    key: 'deadLetterCap',
    flag: 'dead-letter-cap',
    env: 'REDSTREAM_DEAD_LETTER_CAP',
    kind: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    usedBy: ['consumer', 'reindex'],
    meaning: 'Most dead letters that a partition of a stream holds.',
    danger: 'Rows that fail beyond it are not dropped: they hold up their stream until there is room.',
  },
  onUnavailable: {
    key: 'onUnavailable',
    env: 'REDSTREAM_ON_UNAVAILABLE',
    kind: 'choice',
    choices: ['reject', 'accept'],
    default: 'reject',
    usedBy: ['application'],
    meaning:
      'What a write does when Redis does not accept its delay message: "reject" fails it before the commit, "accept" logs a warning. Nothing with capture "outbox", "trigger" and "wal", which need no Redis to write.',
    danger: 'With "accept" such a change is missing in the index until the row is written again.',
  },
  uncaptured: {
    key: 'uncaptured',
    env: 'REDSTREAM_UNCAPTURED',
    kind: 'choice',
    choices: ['warn', 'throw', 'ignore'],
    default: 'warn',
    usedBy: ['application'],
    meaning:
      'What happens on a write of which it cannot be known which rows it changes (on a database without RETURNING: update with criteria, query builder).',
    danger: 'With "warn" and "ignore" the write itself is not indexed; wrap it in bulk.',
  },
  returning: {
    key: 'returning',
    env: 'REDSTREAM_RETURNING',
    kind: 'choice',
    choices: ['on', 'off'],
    default: 'on',
    usedBy: ['application'],
    meaning:
      'Whether TypeORM’s query builders are wrapped, so that every update, delete and insert returns the keys of the rows it changed (RETURNING), or names them by its criteria.',
    danger: 'With "off", writes by criteria are handled as `uncaptured` says.',
  },
  outsideTransaction: {
    key: 'outsideTransaction',
    env: 'REDSTREAM_OUTSIDE_TRANSACTION',
    kind: 'choice',
    choices: ['wrap', 'publish'],
    default: 'wrap',
    usedBy: ['application'],
    meaning:
      'What happens to a statement of a query builder outside a transaction: "wrap" gives it one of its own, so that a crash at any moment loses nothing, "publish" publishes when it is done (needs returning "on").',
    danger: 'With "publish", a crash in the instant after the statement loses its changes.',
  },
  redisTimeoutMs: {
    key: 'redisTimeout',
    flag: 'redis-timeout',
    env: 'REDSTREAM_REDIS_TIMEOUT',
    kind: 'duration',
    default: 5 * second,
    min: 10,
    max: 10 * minute,
    usedBy: everyone,
    meaning: 'Longest wait for an answer of Redis, so that a save never holds its transaction for ever.',
  },
  requestTimeoutMs: {
    key: 'requestTimeout',
    flag: 'request-timeout',
    env: 'REDSTREAM_REQUEST_TIMEOUT',
    kind: 'duration',
    default: 30 * second,
    min: 100,
    max: 60 * minute,
    usedBy: everyCommand,
    meaning: 'Longest wait for an answer of Elasticsearch.',
  },
  http: {
    key: 'http',
    flag: 'http',
    env: 'REDSTREAM_HTTP',
    kind: 'text',
    default: '',
    // A host (in brackets when it is an IPv6 address) and a port up to 65535.
    pattern:
      /^(?:(?:(?:[^\s:[\]/]+|\[[\da-fA-F:.]+\]):)?(?:\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?$/,
    allowed: '"HOST:PORT", or "PORT" for 127.0.0.1; port 0 lets the system choose one',
    placeholder: 'host:port',
    usedBy: everyWorker,
    meaning:
      'Where the process answers /health/live, /health/ready and /metrics (Prometheus); without it, nowhere.',
    danger: 'There is no password: let only your own network reach it.',
  },
  stallAfterMs: {
    key: 'stallAfter',
    flag: 'stall-after',
    env: 'REDSTREAM_STALL_AFTER',
    kind: 'duration',
    default: minute,
    min: second,
    max: day,
    usedBy: [...everyWorker, 'health'],
    meaning:
      'A worker that gives no sign of life for this long hangs: /health/live answers 503, so that the process is started anew. The database gives the rows that a relay has in hand to others when it is silent for as long.',
    danger:
      'Must be longer than requestTimeout and redisTimeout, and than reading the rows of a batch may take.',
  },
  maxLagMs: {
    key: 'maxLag',
    flag: 'max-lag',
    env: 'REDSTREAM_MAX_LAG',
    kind: 'duration',
    default: minute,
    min: 0,
    max: 30 * day,
    usedBy: ['health'],
    meaning: 'How far behind the main lane of a stream may be before `redstream health` complains.',
  },
  keepOldMs: {
    key: 'keepOld',
    flag: 'keep-old',
    env: 'REDSTREAM_KEEP_OLD',
    kind: 'duration',
    default: 60 * minute,
    min: 0,
    max: 30 * day,
    usedBy: ['reindex'],
    meaning:
      'How long the old index is kept up to date after a reindex, so that `redstream rollback` can go back to it.',
    danger: 'It takes its room on the disks, and every change is written twice.',
  },
  copyLagMs: {
    key: 'copyLag',
    flag: 'copy-lag',
    env: 'REDSTREAM_COPY_LAG',
    kind: 'duration',
    default: 2 * second,
    min: 0,
    max: day,
    usedBy: ['consumer', 'reindex'],
    meaning: 'How far behind the main lane may be before the copy of a reindex slows down for it.',
  },
} as const satisfies Record<string, Option>
