import type { CaptureMode } from '../capture/modes.ts'
import { RedstreamError } from '../errors.ts'
import { readSettings, type SettingsInput } from './config-schema.ts'
import { parseValue } from './option-values.ts'
import { options, type Option } from './options.ts'

export type { SettingsInput } from './config-schema.ts'

/**
 * Every durable number and choice, resolved (flag over file over environment over default). Durations are
 * milliseconds. Made from the one table in `options.ts`.
 */
export interface Settings {
  /** Prefix of every Redis key, for applications that share a Redis. Default: none. */
  readonly namespace: string
  /** Who tells which rows have changed. Default: subscriber. */
  readonly capture: CaptureMode
  /** The schema, or the beginning of the names, of what captures changes in the database. Default: redstream. */
  readonly captureSchema: string
  /** Longest pause of the Relay between two looks into the outbox. Default: 500 ms. */
  readonly relayPollMs: number
  /** With capture `wal`, most bytes of log that PostgreSQL may keep for the slot; 0: no limit. Default: 10 GiB. */
  readonly walMaxLag: number
  /** With capture `wal`, bytes of log kept for the slot from which on there are warnings. Default: 1 GiB. */
  readonly walWarnLag: number
  /** Age at which a delay message is re-queued, if the database cannot be asked before. Default: 5 m. */
  readonly delayMs: number
  /** `orphaned`: only what no publish removed; `always`: every delay message, as the gem does. */
  readonly requeue: 'orphaned' | 'always'
  /** Whether the Delayer asks the database if the transaction of a delay message has ended. Default: on. */
  readonly ask: 'on' | 'off'
  /** Messages stay in the main stream at least this long after every group is done with them. Default: 0. */
  readonly retentionMs: number
  /** Pause between two passes of the Trimmer. Default: 1 s. */
  readonly trimIntervalMs: number
  /** A consumer group of the user's that nobody has served for this long is dropped. Default: 0, never. */
  readonly dropGroupAfterMs: number
  /** Messages read at once by a Consumer. Default: 1,000. */
  readonly batchSize: number
  /** Batches in flight per Consumer. Default: 4. */
  readonly concurrency: number
  /** Largest bulk request in bytes. Default: 8 MiB. */
  readonly bulkBytes: number
  /** A worker without a heartbeat for this long is dead and its entries are taken over. Default: 2 s. */
  readonly takeOverAfterMs: number
  /** A batch whose ticket is older is read again, never sent; well below `index.gc_deletes`. Default: 10 m. */
  readonly ticketMaxAgeMs: number
  /** Most dead letters that a partition of a stream holds; rows beyond it are tried again instead. Default: 10,000. */
  readonly deadLetterCap: number
  /** What a write does when Redis does not accept its delay message: `reject` rolls it back, `accept` logs a warning. */
  readonly onUnavailable: 'reject' | 'accept'
  /** What a write does of which the rows cannot be known: warn, throw or ignore. */
  readonly uncaptured: 'warn' | 'throw' | 'ignore'
  /** Whether TypeORM's query builders are wrapped, so that statements say which rows they changed. Default: on. */
  readonly returning: 'on' | 'off'
  /** Whether a statement outside a transaction gets one of its own, or is published when it is done. Default: wrap. */
  readonly outsideTransaction: 'wrap' | 'publish'
  /** Longest wait for an answer of Redis, so that a hook never holds a transaction for ever. Default: 5 s. */
  readonly redisTimeoutMs: number
  /** Longest wait for an answer of Elasticsearch. Default: 30 s. */
  readonly requestTimeoutMs: number
  /** Where health and metrics are served: `HOST:PORT`, or `PORT` for 127.0.0.1. Default: none. */
  readonly http: string
  /** A worker without a sign of life for this long hangs. Default: 60 s. */
  readonly stallAfterMs: number
  /** How far behind a main lane may be before `redstream health` complains. Default: 60 s. */
  readonly maxLagMs: number
  /** How long the old index is kept up to date after a reindex. Default: 1 h. */
  readonly keepOldMs: number
  /** How far behind the main lane may be before the copy of a reindex slows down. Default: 2 s. */
  readonly copyLagMs: number
}

/** Where the value of a setting came from. */
export type Origin = 'flag' | 'file' | 'environment' | 'default'

/** What {@link resolveSettings} puts together. */
export interface SettingSources {
  /** The text of each flag that was given, by the name of its setting. */
  readonly flags?: { readonly [S in keyof Settings]?: string | undefined }
  /** The settings of the configuration file; its name, and the keys it may hold beside them, are for messages. */
  readonly file?: {
    readonly name: string
    readonly settings: unknown
    readonly otherKeys: readonly string[]
  }
  readonly env?: Readonly<Record<string, string | undefined>>
}

const table: { readonly [S in keyof Settings]: Option } = options
const names = Object.keys(table) as (keyof Settings)[]

/**
 * The value of every setting and where it came from: its flag, else the configuration file, else the environment, else
 * the default. An empty environment variable counts as not given.
 *
 * @throws RedstreamError CONFIG (file, environment) or USAGE (flag) when a key is unknown or a value not allowed
 */
export function resolveSettings(sources: SettingSources): {
  settings: Settings
  origins: Record<keyof Settings, Origin>
} {
  const { flags = {}, file, env = {} } = sources
  const fromFile = file === undefined ? {} : readSettings(file.settings, file.name, file.otherKeys)
  const resolved = names.map((name) => {
    const option = table[name]
    const flag = flags[name]
    if (flag !== undefined) return { name, origin: 'flag', value: fromFlag(option, flag) } as const
    const inFile = fromFile[name]
    if (inFile !== undefined) return { name, origin: 'file', value: inFile } as const
    const variable = env[option.env]
    if (variable !== undefined && variable !== '') {
      return { name, origin: 'environment', value: fromEnvironment(option, variable) } as const
    }
    return { name, origin: 'default', value: option.default } as const
  })
  return {
    // Every value went through the option of its name, which has the type that Settings says.
    settings: Object.fromEntries(resolved.map(({ name, value }) => [name, value])) as unknown as Settings,
    origins: Object.fromEntries(resolved.map(({ name, origin }) => [name, origin])) as Record<
      keyof Settings,
      Origin
    >,
  }
}

/**
 * The settings of the application's side: what its options object names, else the environment, else the defaults.
 *
 * @throws RedstreamError CONFIG when a key is unknown or a value not allowed
 */
export function settingsFrom(
  input: SettingsInput,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Settings {
  const name = 'the options of Redstream.attach'
  const otherKeys = ['redis', 'wait', 'logger']
  return resolveSettings({ file: { name, settings: input, otherKeys }, env }).settings
}

function fromFlag(option: Option, text: string): string | number {
  const parsed = parseValue(option, text)
  if ('value' in parsed) return parsed.value
  throw new RedstreamError('USAGE', `--${option.flag} "${text}" is not allowed: it takes ${parsed.allowed}`)
}

function fromEnvironment(option: Option, text: string): string | number {
  const parsed = parseValue(option, text)
  if ('value' in parsed) return parsed.value
  throw new RedstreamError(
    'CONFIG',
    `${option.env}="${text}" in the environment is not allowed: it takes ${parsed.allowed}`,
  )
}
