import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { isRecord, valueText } from './canonical-json.ts'

/** Index settings by their full dotted names (`index.gc_deletes`), as `GET index?flat_settings=true` has them. */
export type FlatSettings = Record<string, unknown>

/** Default of the setting `ticketMaxAge`: a batch with an older ticket is read again, never sent. */
const defaultTicketMaxAgeMs = 10 * 60_000

const gcDeletes = 'index.gc_deletes'
// Elasticsearch's own default, in force when a user sets the value to null.
const elasticsearchGcDeletes = '60s'

/** `{ index: { refresh_interval } }`, `'index.refresh_interval'` and `'refresh_interval'` are the same setting. */
export function flattenSettings(settings: Record<string, unknown>): FlatSettings {
  const flat: FlatSettings = {}
  const walk = (value: unknown, path: string): void => {
    if (isRecord(value)) {
      for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`)
    } else if (value !== undefined) {
      flat[path.startsWith('index.') ? path : `index.${path}`] = value
    }
  }
  walk(settings, '')
  return flat
}

/**
 * The settings of an entity's index: `gc_deletes: 1h`, and the user's over it. A setting that the user gives as null
 * is left to Elasticsearch.
 *
 * A deletion is remembered by Elasticsearch for `index.gc_deletes` only; a write with an older ticket that arrives
 * later would bring the document back. Tickets are therefore given up after `ticketMaxAgeMs`, and twice that time is
 * demanded here, because a request may wait in Elasticsearch's queue after it was sent.
 *
 * @param ticketMaxAgeMs the setting `ticketMaxAge` in milliseconds; default 10 minutes
 * @throws RedstreamError ENTITY when `index.gc_deletes` is too short for that, or no duration
 */
export function deriveSettings(
  definition: IndexDefinition,
  ticketMaxAgeMs: number = defaultTicketMaxAgeMs,
): FlatSettings {
  const settings: FlatSettings = { [gcDeletes]: '1h', ...flattenSettings(definition.options.settings ?? {}) }
  const given = valueText(settings[gcDeletes] ?? elasticsearchGcDeletes)
  const kept = timeValueMs(given)
  const owner = `Entity ${definition.metadata.name}, index "${definition.name}"`
  if (kept === undefined) {
    throw new RedstreamError(
      'ENTITY',
      `${owner}: ${gcDeletes} is "${given}", but must be a duration such as "1h".`,
    )
  }
  if (kept < 2 * ticketMaxAgeMs) {
    throw new RedstreamError(
      'ENTITY',
      `${owner}: ${gcDeletes} is ${given}, so Elasticsearch would forget a deletion while an older write may still ` +
        `arrive and bring the document back. Set ${gcDeletes} to ${Math.ceil(ticketMaxAgeMs / 30_000)}m or more in ` +
        'the settings of @Indexed (the default is 1h), or lower ticketMaxAge in the configuration.',
    )
  }
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null))
}

const unitMs: Record<string, number> = {
  nanos: 1e-6,
  micros: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Milliseconds of one of Elasticsearch's time values: a whole number and a unit, or `0` and `-1` without one. */
export function timeValueMs(text: string): number | undefined {
  if (text === '0' || text === '-1') return Number(text)
  const match = /^(\d+)(nanos|micros|ms|s|m|h|d)$/.exec(text.trim().toLowerCase())
  if (!match) return undefined
  return Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN)
}
