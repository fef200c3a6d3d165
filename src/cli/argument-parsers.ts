import { InvalidArgumentError } from 'commander'
import ms from 'ms'

/** A duration in ms, of a text such as `5m`; for commander. */
export function duration(text: string): number {
  // The library throws for an empty text and for one of more than 100 characters.
  const value = text === '' || text.length > 100 ? undefined : ms(text as ms.StringValue)
  if (value !== undefined && Number.isFinite(value) && value >= 0) return value
  throw new InvalidArgumentError('It takes a duration such as "30s", "5m", "1h".')
}

/** A whole number from 1; for commander. */
export function positiveInteger(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value
  throw new InvalidArgumentError('It takes a whole number from 1.')
}

/** Texts between commas, without empty ones; for commander. */
export function commaSeparated(text: string): string[] {
  const values = text.split(',').flatMap((value) => value.trim() || [])
  if (values.length > 0) return values
  throw new InvalidArgumentError('It takes values separated by commas.')
}
