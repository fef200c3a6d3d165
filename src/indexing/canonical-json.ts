/**
 * JSON with sorted keys: equal values give equal text. Scalars become strings, because Elasticsearch answers
 * `"true"` and `"256"` where `true` and `256` were declared.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(canonical(value))
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (value === null || value === undefined) return null
  if (!isRecord(value)) return valueText(value)
  const keys = Object.keys(value).filter((key) => value[key] !== undefined)
  return Object.fromEntries(keys.sort().map((key) => [key, canonical(value[key])]))
}

/** True for a JSON object: neither null nor an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value as a person would write it; `default` for one that is not set. */
export function valueText(value: unknown): string {
  if (value === undefined) return 'default'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
