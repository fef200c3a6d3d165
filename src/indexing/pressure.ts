/** How much is sent to Elasticsearch at once; it follows the answers. */
export interface Window {
  /** Bulk requests in flight; fractions add up until they make one more. */
  readonly requests: number
  /** Most documents in a request. */
  readonly documents: number
  /** Most bytes in a request. */
  readonly bytes: number
}

/** How Elasticsearch took a request. */
export type Reception = 'well' | 'slowly' | 'refused'

const smallest: Window = { requests: 1, documents: 10, bytes: 64 * 1024 }

/**
 * Halves what is sent when Elasticsearch refuses (429, or no answer at all), takes a quarter off when it answers
 * slowly, and adds a little with every good answer, up to the settings: additive increase and multiplicative
 * decrease, as TCP does it. Elasticsearch asks for backoff and less concurrency at 429:
 * https://www.elastic.co/docs/troubleshoot/elasticsearch/rejected-requests
 */
export function afterAnswer(window: Window, largest: Window, reception: Reception): Window {
  const scale = (part: keyof Window): number => {
    const value = window[part]
    if (reception === 'refused') return Math.max(Math.min(smallest[part], largest[part]), value / 2)
    if (reception === 'slowly') return Math.max(Math.min(smallest[part], largest[part]), value * 0.75)
    const step = part === 'requests' ? 1 / Math.max(1, window.requests) : largest[part] / 50
    return Math.min(largest[part], value + step)
  }
  return { requests: scale('requests'), documents: scale('documents'), bytes: scale('bytes') }
}

/** An answer that takes longer than this, in ms, says that Elasticsearch is at its limit. */
const slowMs = 5_000

/** A request that waits for its place. */
interface Waiting {
  readonly urgent: boolean
  readonly begin: () => void
}

/**
 * Lets through as many requests at once as the window allows, first come, first served. One place more is kept for
 * urgent requests: the first of them does not wait for those that are not.
 */
export class PressureGate {
  readonly #largest: Window
  readonly #waiting: Waiting[] = []
  #window: Window
  #inFlight = 0
  #urgentInFlight = 0

  constructor(largest: Window) {
    this.#largest = largest
    this.#window = largest
  }

  /** What may be sent at this moment. */
  get window(): Window {
    return this.#window
  }

  /**
   * Waits for a place, does the request, and learns from how it was received.
   *
   * @param refused - whether the result shows that Elasticsearch wants less
   * @param learned - called with how it was received, when the window fits that
   */
  async through<T>(
    urgent: boolean,
    request: () => Promise<T>,
    refused: (result: T) => boolean,
    learned?: (reception: Reception) => void,
  ): Promise<T> {
    await this.#enter(urgent)
    const start = performance.now()
    let reception: Reception = 'refused'
    try {
      const result = await request()
      const late = performance.now() - start > slowMs
      reception = refused(result) ? 'refused' : late ? 'slowly' : 'well'
      return result
    } finally {
      this.#window = afterAnswer(this.#window, this.#largest, reception)
      learned?.(reception)
      this.#leave(urgent)
    }
  }

  async #enter(urgent: boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ urgent, begin: resolve })
    this.#beginNext()
    return promise
  }

  #leave(urgent: boolean): void {
    this.#inFlight -= 1
    if (urgent) this.#urgentInFlight -= 1
    this.#beginNext()
  }

  #beginNext(): void {
    for (;;) {
      const position = this.#waiting.findIndex(({ urgent }) => this.#hasRoom(urgent))
      const [next] = position < 0 ? [] : this.#waiting.splice(position, 1)
      if (next === undefined) return
      this.#inFlight += 1
      if (next.urgent) this.#urgentInFlight += 1
      next.begin()
    }
  }

  #hasRoom(urgent: boolean): boolean {
    const places = Math.floor(this.#window.requests)
    return this.#inFlight < places + (urgent && this.#urgentInFlight === 0 ? 1 : 0)
  }
}
