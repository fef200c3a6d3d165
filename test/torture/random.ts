import { createHash } from 'node:crypto'

/** A stream of random decisions that is the same for the same seed. */
export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number
  /** A whole number from 0 up to, not including, `below`. */
  below(below: number): number
  /** A number between two others. */
  between(low: number, high: number): number
  /** True with this probability. */
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** A key, more often those with a greater weight. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K
}

/**
 * The decisions of one actor. Each actor has a stream of its own, so that one which comes to its turn earlier or later
 * than in another run does not change what the others decide. The generator is sfc32 (PractRand's small fast counter).
 */
export function randomOf(seed: number, actor: string): Random {
  const hash = createHash('sha256').update(`${seed}/${actor}`).digest()
  let [a, b, c, counter] = [0, 4, 8, 12].map((offset) => hash.readUInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ]
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: <T>(items: readonly T[]): T => {
      if (items.length === 0) throw new RangeError('nothing to pick from')
      return items[below(items.length)] as T
    },
    weighted: <K extends string>(weights: Readonly<Record<K, number>>): K => {
      const keys = Object.keys(weights) as K[]
      let rest = next() * keys.reduce((sum, key) => sum + weights[key], 0)
      return keys.find((key) => (rest -= weights[key]) < 0) ?? keys.at(-1)!
    },
  }
}
