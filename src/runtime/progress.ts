/** What a worker needs for each step of its work; a step that fails waits for it. */
const needs = {
  read: 'Redis',
  requeue: 'Redis',
  take: 'the database',
  ask: 'the database',
  trim: 'Redis',
  ticket: 'Redis',
  settle: 'Redis',
  load: 'the database',
  build: 'document()',
  index: 'Elasticsearch',
  bury: 'room among the dead letters',
  handle: 'its handler',
  queue: 'Redis',
  follow: 'the database',
  publish: 'Redis',
} as const satisfies Record<string, string>

/** A step of a worker's work. */
export type Step = keyof typeof needs

/** What {@link Step | steps} can wait for, in words. */
export type Need = (typeof needs)[Step]

/** How a worker gets on. */
export interface ProgressReport {
  /** True between the start and the end of `run`. */
  readonly running: boolean
  /** Milliseconds since the slowest of its activities has last got something done, or found nothing to do. */
  readonly progressMs: number
  /** Milliseconds since the last sign of life of the activity that has been silent for longest. */
  readonly silentMs: number
  /** What that activity is at. */
  readonly step: Step | undefined
  /** What must be there again before it can go on: the steps that failed, by what they need. */
  readonly waitsFor: readonly Need[]
}

/**
 * How a worker gets on, for its heartbeat and for `/health`.
 *
 * A worker has activities that run side by side: its loop, and for a Consumer each batch in flight. Two times are
 * kept of each:
 * - *progress*: it got something done, or looked and found nothing to do. For a loop that is a pass; for a batch that
 *   documents were written or entries acknowledged. An attempt that fails is none, so a batch that is tried again for
 *   ever makes none, and one whose handler does not come back makes none.
 * - *sign of life*: progress, or the beginning of a step, or a failure. An activity that fails again and again is
 *   alive, and says what it waits for; one that stays silent hangs.
 *
 * The worker is as far as its slowest activity: one batch that hangs is not hidden by the loop that goes on reading.
 * An activity that is at rest (a loop whose batches are all in flight, the time between two passes) does not count,
 * and one that pauses after a failure is not silent, but makes no progress either.
 */
export class Progress {
  readonly #activities = new Set<Activity>()
  readonly #now: () => number

  /** @param now - a monotonic clock in ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** A new activity, which counts until its `end`. */
  begin(step: Step): Activity {
    const activity = new Activity(step, this.#now, () => this.#activities.delete(activity))
    this.#activities.add(activity)
    return activity
  }

  report(): ProgressReport {
    const now = this.#now()
    const active = [...this.#activities].filter((activity) => !activity.isResting)
    const silent = active.filter(({ isPausing }) => !isPausing).toSorted((a, b) => a.signAt - b.signAt)[0]
    return {
      running: this.#activities.size > 0,
      progressMs: now - Math.min(now, ...active.map(({ progressAt }) => progressAt)),
      silentMs: silent === undefined ? 0 : now - silent.signAt,
      step: silent?.currentStep,
      waitsFor: [...new Set(active.flatMap(({ failedStep }) => (failedStep ? [needs[failedStep]] : [])))],
    }
  }
}

/** One of the things that a worker does side by side; see {@link Progress}. */
export class Activity {
  readonly #now: () => number
  readonly #remove: () => void
  #step: Step
  #failedStep: Step | undefined
  #progressAt: number
  #signAt: number
  #isResting = false
  #isPausing = false

  /** @internal */
  constructor(step: Step, now: () => number, remove: () => void) {
    this.#step = step
    this.#now = now
    this.#remove = remove
    this.#progressAt = this.#signAt = now()
  }

  /** @internal */
  get progressAt(): number {
    return this.#progressAt
  }

  /** @internal */
  get signAt(): number {
    return this.#signAt
  }

  /** What it is at. */
  get currentStep(): Step {
    return this.#step
  }

  /** The step that failed last, until it gets on again. */
  get failedStep(): Step | undefined {
    return this.#failedStep
  }

  get isResting(): boolean {
    return this.#isResting
  }

  get isPausing(): boolean {
    return this.#isPausing
  }

  /** It begins a step. */
  begins(step: Step): void {
    this.#step = step
    this.#sign()
  }

  /** It got something done, or found nothing to do. A handler that works on a batch for long calls it now and then. */
  advanced(): void {
    this.#failedStep = undefined
    this.#sign()
    this.#progressAt = this.#signAt
  }

  /** The step that it is at failed, and is tried again. */
  failed(): void {
    if (this.#isResting) return
    this.#failedStep = this.#step
    this.#sign()
  }

  /** It waits for a while before it tries again. */
  pauses(): void {
    this.#isPausing = true
  }

  /** Nothing is asked of it until it begins a step, or has advanced. */
  rests(): void {
    this.#isResting = true
  }

  /** It is over. */
  ends(): void {
    this.#remove()
  }

  #sign(): void {
    if (this.#isResting) this.#progressAt = this.#now()
    this.#isResting = false
    this.#isPausing = false
    this.#signAt = this.#now()
  }
}
