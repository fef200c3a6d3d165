import { plan } from '../plan.ts'
import type { Random } from '../random.ts'

/** How the way to Elasticsearch is at a time. */
export type Weather = 'calm' | 'unreachable' | 'slow' | 'half-open' | 'refusing' | 'cutting' | 'late'

/** What happens to one request. */
export type Treatment =
  | { readonly kind: 'forward' }
  /** It reaches the server later, whether or not its sender still waits. */
  | { readonly kind: 'hold'; readonly ms: number }
  /** It reaches the server at once, and its answer comes late. */
  | { readonly kind: 'late answer'; readonly ms: number }
  /** It never reaches the server, and nobody says so. */
  | { readonly kind: 'swallow' }
  /** It reaches the server, and its answer nobody. */
  | { readonly kind: 'no answer' }
  | { readonly kind: 'refuse'; readonly status: 429 | 502 | 503 }
  /** Single operations of a bulk request are refused, those with these numbers from 0 to 1 below `share`. */
  | { readonly kind: 'refuse some'; readonly share: number }
  /** The connection is cut before the request reaches the server. */
  | { readonly kind: 'cut request' }
  /** The connection is cut in the middle of the answer. */
  | { readonly kind: 'cut answer' }

/** Decides what happens to the next request. */
export function treat(weather: Weather, random: Random): Treatment {
  switch (weather) {
    case 'slow':
      return random.chance(0.6)
        ? { kind: random.chance(0.7) ? 'hold' : 'late answer', ms: random.between(100, 7_000) }
        : { kind: 'forward' }
    // Its sender has given up by then.
    case 'late':
      return { kind: 'hold', ms: plan.requestTimeoutMs * random.between(1.2, 2) }
    case 'half-open':
      return { kind: random.chance(0.5) ? 'swallow' : 'no answer' }
    case 'refusing':
      if (random.chance(0.5)) return { kind: 'refuse some', share: random.between(0.1, 0.9) }
      return random.chance(0.8)
        ? { kind: 'refuse', status: random.pick([429, 502, 503]) }
        : { kind: 'forward' }
    case 'cutting':
      if (random.chance(0.4)) return { kind: 'cut answer' }
      return random.chance(0.3) ? { kind: 'cut request' } : { kind: 'forward' }
    case 'calm':
    case 'unreachable':
      return { kind: 'forward' }
  }
}
