import ms from 'ms'

import type { NumberOption, Option } from './options.ts'

/** A value as a setting holds it, or what would have been allowed in its place. */
export type ParsedValue = { readonly value: string | number } | { readonly allowed: string }

/**
 * Reads one value, as the configuration file, a flag or the environment gives it. Durations are a number of
 * milliseconds or a text such as `5m`, bytes a number or a text such as `8mb` (1 kb is 1,024 bytes).
 */
export function parseValue(option: Option, raw: unknown): ParsedValue {
  switch (option.kind) {
    case 'choice':
      return typeof raw === 'string' && option.choices.includes(raw)
        ? { value: raw }
        : { allowed: allowedValues(option) }
    case 'text':
      return typeof raw === 'string' && option.pattern.test(raw)
        ? { value: raw }
        : { allowed: allowedValues(option) }
    default: {
      const value = typeof raw === 'string' ? readers[option.kind](raw.trim()) : raw
      return typeof value === 'number' && isInRange(option, value)
        ? { value }
        : { allowed: allowedValues(option) }
    }
  }
}

/** What a setting may be, in words that complete "allowed is …". */
export function allowedValues(option: Option): string {
  switch (option.kind) {
    case 'choice':
      return option.choices.map((choice) => `"${choice}"`).join(' or ')
    case 'text':
      return option.allowed
    case 'duration':
      return `a number of milliseconds or a text such as "30s", "5m", "1h", from ${rangeOf(option)}`
    case 'bytes':
      return `a number of bytes or a text such as "512kb", "8mb", from ${rangeOf(option)}`
    case 'integer':
      return `a whole number from ${rangeOf(option)}`
  }
}

/** A value of a setting as one would write it into the configuration: `5m`, `8mb`, `1000`. */
export function formatValue(option: Option, value: string | number): string {
  if (typeof value === 'string') return value
  if (option.kind === 'duration') return inLargestUnit(value, durationUnits)
  return option.kind === 'bytes' ? inLargestUnit(value, byteUnits) : String(value)
}

const durationUnits = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const

const byteUnits = [
  ['gb', 1024 ** 3],
  ['mb', 1024 ** 2],
  ['kb', 1024],
  ['b', 1],
] as const

const readers = {
  duration: (text: string): number | undefined => {
    // The library throws for an empty text and for one of more than 100 characters.
    if (text === '' || text.length > 100) return undefined
    return ms(text as ms.StringValue)
  },
  bytes: (text: string): number | undefined => {
    const match = /^(\d+(?:\.\d+)?) ?(b|kb|mb|gb)?$/i.exec(text)
    const factor = byteUnits.find(([unit]) => unit === (match?.[2] ?? 'b').toLowerCase())?.[1]
    return match === null || factor === undefined ? undefined : Number(match[1]) * factor
  },
  integer: (text: string): number | undefined => (/^\d+$/.test(text) ? Number(text) : undefined),
} as const

function inLargestUnit(value: number, units: typeof durationUnits | typeof byteUnits): string {
  if (value === 0) return '0'
  // The last unit is 1, which divides every whole number.
  const [unit, factor] = units.find(([, size]) => value % size === 0)!
  return `${value / factor}${unit}`
}

function isInRange({ min, max, zero }: NumberOption, value: number): boolean {
  if (value === 0 && zero !== undefined) return true
  return Number.isInteger(value) && value >= min && value <= max
}

function rangeOf(option: NumberOption): string {
  const range = `${formatValue(option, option.min)} to ${formatValue(option, option.max)}`
  return option.zero === undefined ? range : `${range}, or 0 for ${option.zero}`
}
