/** Runs a piece of work, and resolves with it. */
type Work = () => void

let waiting: Work[] = []
let isWatching = false

/**
 * Does what nobody waits for as soon as the event loop has handled the events that are there: the next statement of whoever
 * goes on is under way by then. A process that exits before that does it while it exits, as far as it needs no answer.
 *
 * @returns resolves when it is done
 */
export function afterwards(work: () => Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  waiting.push(() => resolve(work()))
  if (waiting.length === 1) setImmediate(doNow)
  if (!isWatching) {
    // Never taken off: it does nothing as long as nothing waits.
    process.on('exit', doNow)
    isWatching = true
  }
  return promise
}

/** Does at once what {@link afterwards} waits with. */
export function doNow(): void {
  const all = waiting
  waiting = []
  for (const work of all) work()
}
