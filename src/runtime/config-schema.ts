import { closest, distance } from 'fastest-levenshtein'
import { z } from 'zod'

import type { CaptureMode } from '../capture/modes.ts'
import { RedstreamError } from '../errors.ts'
import { parseValue } from './option-values.ts'
import { options, type Option } from './options.ts'

/** The settings as the configuration file and `Redstream.attach` take them. Every one has a default. */
export interface SettingsInput {
  /** Prefix of every Redis key, for applications that share a Redis. Default: none. */
  namespace?: string | undefined
  /** Who tells which rows have changed. Default: `'subscriber'`, what TypeORM does. */
  capture?: CaptureMode | undefined
  /** The schema (PostgreSQL) or the beginning of the names of what captures changes in the database. Default: `'redstream'`. */
  captureSchema?: string | undefined
  /** Longest pause of the Relay between two looks into the outbox, in ms or as `'1s'`. Default: 500 ms. */
  relayPoll?: number | string | undefined
  /**
   * With capture `'wal'`, the most log that PostgreSQL may keep for the replication slot, in bytes or as `'10gb'`; beyond it
   * the slot is dropped, and the indices must be verified. 0: no limit. Default: `'10gb'`.
   */
  walMaxLag?: string | number | undefined
  /** With capture `'wal'`, how much of it before there are warnings, in bytes or as text. Default: `'1gb'`. */
  walWarnLag?: string | number | undefined
  /**
   * Age at which a delay message is re-queued, in ms or as `'5m'`; sooner where the database can be asked. Default: `'5m'`.
   * With `requeue: 'always'` every delay message is re-queued, as the gem does, so that everything is indexed twice;
   * default: `'orphaned'`, only those that no publish removed. With `ask: 'on'`, the default, the Delayer asks PostgreSQL
   * if a transaction has ended; otherwise `delay` must be longer than the longest transaction.
   */
  delay?:
    | string
    | number
    | {
        after?: string | number | undefined
        requeue?: 'orphaned' | 'always' | undefined
        ask?: 'on' | 'off' | undefined
      }
    | undefined
  /** How long messages stay in the main stream at least, in ms or as `'1h'`. Default: 0. */
  retention?: string | number | undefined
  /** Pause between two passes of the trimmer, in ms or as text. Default: `'1s'`. */
  trimInterval?: string | number | undefined
  /**
   * A consumer group of your own that nobody has served for this long is removed, in ms or as `'30d'`, from 10 minutes
   * on; it misses what waited for it. Default: 0, never.
   */
  dropGroupAfter?: string | number | undefined
  /** Messages that a consumer reads at once, 1 to 10,000. Default: 1,000. */
  batchSize?: number | undefined
  /** Bulk requests in flight, 1 to 64; half as many batches are read ahead, each on a database connection. Default: 4. */
  concurrency?: number | undefined
  /** Largest bulk request, in bytes or as `'8mb'` (1 kb is 1,024 bytes). Default: `'8mb'`. */
  bulkBytes?: string | number | undefined
  /** A consumer without a heartbeat for this long is dead, in ms or as text. Default: `'2s'`. */
  takeOverAfter?: string | number | undefined
  /** A batch with an older ticket is read again instead of sent, in ms or as text. Default: `'10m'`. */
  ticketMaxAge?: string | number | undefined
  /** Most dead letters per partition; rows beyond it hold up their stream until there is room. Default: 10,000. */
  deadLetterCap?: number | undefined
  /** When Redis does not accept the delay message of a write: fail the write, or log a warning. Default: `'reject'`. */
  onUnavailable?: 'reject' | 'accept' | undefined
  /** On a write of which it cannot be known which rows it changes. Default: `'warn'`. */
  uncaptured?: 'warn' | 'throw' | 'ignore' | undefined
  /** Wrap TypeORM's query builders, so that every statement says which rows it changed. Default: `'on'`. */
  returning?: 'on' | 'off' | undefined
  /**
   * A statement of a query builder outside a transaction: give it one of its own, so that a crash loses nothing, or
   * publish its changes when it is done. Default: `'wrap'`.
   */
  outsideTransaction?: 'wrap' | 'publish' | undefined
  /** Longest wait for an answer of Redis, in ms or as text. Default: `'5s'`. */
  redisTimeout?: string | number | undefined
  /** Longest wait for an answer of Elasticsearch, in ms or as text. Default: `'30s'`. */
  requestTimeout?: string | number | undefined
  /** Where workers serve health and metrics: `'HOST:PORT'`, or `'PORT'` for 127.0.0.1. Default: nowhere. */
  http?: string | undefined
  /** A worker without a sign of life for this long hangs, in ms or as text. Default: `'1m'`. */
  stallAfter?: string | number | undefined
  /** How far behind a main lane may be before `redstream health` complains, in ms or as text. Default: `'1m'`. */
  maxLag?: string | number | undefined
  /** How long the old index is kept up to date after a reindex, in ms or as text. Default: `'1h'`. */
  keepOld?: string | number | undefined
  /** How far behind the main lane may be before the copy of a reindex slows down, in ms or as text. Default: `'2s'`. */
  copyLag?: string | number | undefined
}

type SettingName = keyof typeof options

const optionOf: Readonly<Record<SettingName, Option>> = options
const names = Object.keys(optionOf) as SettingName[]

// `delay: '5m'` is short for `delay: { after: '5m' }`.
const pathOf = (name: SettingName): string[] =>
  name === 'delayMs' ? ['delay', 'after'] : optionOf[name].key.split('.')

const values = Object.fromEntries(names.map((name) => [name, valueSchema(optionOf[name])])) as Record<
  SettingName,
  ReturnType<typeof valueSchema>
>

const settingsSchema = z.strictObject({
  ...Object.fromEntries(
    names.filter((name) => pathOf(name).length === 1).map((name) => [optionOf[name].key, values[name]]),
  ),
  delay: z.preprocess(
    (raw) => (isRecord(raw) ? raw : { after: raw }),
    z.strictObject({ after: values.delayMs, requeue: values.requeue, ask: values.ask }),
  ),
})

/**
 * Reads the settings of a configuration file.
 *
 * @param input - the file's object without `otherKeys`
 * @param source - the file's name, for messages
 * @param otherKeys - what the file may hold beside the settings, for suggestions
 * @throws RedstreamError CONFIG that names every unknown key and every value that is not allowed
 */
export function readSettings(
  input: unknown,
  source: string,
  otherKeys: readonly string[],
): Partial<Record<SettingName, string | number>> {
  const result = settingsSchema.safeParse(input)
  if (!result.success) {
    const problems = result.error.issues.flatMap((issue) => problemsOf(issue, { input, source, otherKeys }))
    throw new RedstreamError('CONFIG', problems.join('\n'))
  }
  return Object.fromEntries(names.map((name) => [name, valueAt(result.data, pathOf(name))]))
}

function valueSchema(option: Option) {
  return z
    .unknown()
    .transform((raw, context) => {
      if (raw === undefined) return undefined
      const parsed = parseValue(option, raw)
      if ('value' in parsed) return parsed.value
      context.addIssue({ code: 'custom', message: `is not allowed: it takes ${parsed.allowed}` })
      return z.NEVER
    })
    .optional()
}

function problemsOf(
  issue: z.core.$ZodIssue,
  { input, source, otherKeys }: { input: unknown; source: string; otherKeys: readonly string[] },
): string[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey([...path, key].join('.'), source, otherKeys))
  }
  if (path.length === 0) return [`${source} holds no settings but ${describe(input)}`]
  const shorthand = path[0] === 'delay' && !isRecord((input as { delay?: unknown }).delay)
  const shown = shorthand ? ['delay'] : path
  return [`${shown.join('.')} ${describe(valueAt(input, shown))} in ${source} ${issue.message}`]
}

/** What to say of a key that the configuration does not have. */
function unknownKey(key: string, source: string, otherKeys: readonly string[]): string {
  const known = [...otherKeys, ...names.map((name) => optionOf[name].key), 'delay.after']
  const nearest = closest(key, known)
  // A third of the letters may be wrong, of a long word no more than three.
  const near = distance(key.toLowerCase(), nearest.toLowerCase()) <= Math.min(3, Math.ceil(key.length / 3))
  const nested = known.find((name) => name.endsWith(`.${key}`))
  const suggestion = nested ?? (near ? nearest : undefined)
  const advice = suggestion === undefined ? `known are ${known.join(', ')}` : `did you mean "${suggestion}"?`
  return `unknown key "${key}" in ${source}: ${advice}`
}

function valueAt(value: unknown, path: readonly string[]): string | number | undefined {
  return path.reduce<unknown>(
    (current, key) => (isRecord(current) ? current[key] : undefined),
    value,
  ) as ReturnType<typeof valueAt>
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (isRecord(value)) return 'an object'
  return JSON.stringify(value) ?? `a ${typeof value}`
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
