const names = 'password|passwd|pwd|passphrase|secret|token|api_?key'

const patterns: readonly [RegExp, string][] = [
  // Everything up to the last @, because a password that was not encoded may hold one itself.
  [/([a-z][a-z\d+.-]*:\/\/)[^\s"'`]*@/gi, '$1***@'],
  [/\b(authorization["']?\s*[:=]\s*["']?(?:basic|bearer|apikey)\s+)[^\s"',}]+/gi, '$1***'],
  [new RegExp(`((?:${names})=)[^\\s&"'\`;,]+`, 'gi'), '$1***'],
  [new RegExp(`((?:${names})["']?\\s*[:=]\\s*)(["'])(?:(?!\\2)(?:\\\\.|[^\\\\]))*\\2`, 'gi'), '$1$2***$2'],
]

const secretKey = new RegExp(`^(?:${names}|authorization)$`, 'i')

/**
 * Takes passwords and keys out of a text that will be printed: user and password of URLs, `password=…` in connection
 * strings and queries, quoted values after such a name, and authorization headers. Rather takes too much than too
 * little.
 */
export function redactSecrets(text: string): string {
  return patterns.reduce((redacted, [pattern, replacement]) => redacted.replace(pattern, replacement), text)
}

/** The same for every text inside a JSON value, and for the whole value of a key such as `password`. */
export function redactValue(value: unknown): unknown {
  if (typeof value === 'string') return redactSecrets(value)
  if (Array.isArray(value)) return value.map(redactValue)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, secretKey.test(key) ? '***' : redactValue(inner)]),
  )
}
