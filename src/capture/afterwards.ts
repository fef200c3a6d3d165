import { setImmediate } from 'node:timers'

const waiting = new Set<() => void>()
let isWatching = false

/**
 * Does what nobody waits for as soon as the event loop has handled the events that are there: the next statement of whoever
 * goes on is under way by then. A process or worker thread that exits before that does it while it exits, as far as it needs
 * no answer; one that is killed, by a signal without a handler or by `terminate()`, does not.
 *
 * @returns resolves when it is done
 */
export function afterwards(work: () => Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const run = (): void => {
    if (waiting.delete(run)) resolve(work())
  }
  waiting.add(run)
  // One for each, so that it is done in the asynchronous context of its caller.
  setImmediate(run)
  if (!isWatching) {
    // Never taken off: it does nothing as long as nothing waits.
    process.on('exit', doNow)
    isWatching = true
  }
  return promise
}

/** Does at once, in their order, what {@link afterwards} waits with. */
export function doNow(): void {
  for (const run of waiting) run()
}
