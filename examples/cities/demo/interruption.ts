import os from 'node:os'

/** A terminal sends its Ctrl-C to the whole group and npm passes it on as well: they count as one. */
const sameSignalMs = 1_000
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * A signal that aborts at the first SIGINT, SIGTERM or SIGHUP, with its name as the reason. A later one ends the process
 * at once; its servers and workers end with it, because their guards see it.
 */
export function watchSignals(): AbortSignal {
  const interruption = new AbortController()
  let first = 0
  for (const name of signals) {
    process.on(name, () => {
      if (!interruption.signal.aborted) {
        first = performance.now()
        interruption.abort(name)
      } else if (performance.now() - first > sameSignalMs) process.exit(exitCodeOf(interruption.signal))
    })
  }
  // Whoever read the output has gone: `npm run demo | head`.
  process.stdout.on('error', () => interruption.abort('SIGPIPE'))
  return interruption.signal
}

/** Never resolves; rejects when the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(new Error('interrupted'))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}

/** What a shell gives for a process that a signal ended. */
export function exitCodeOf(signal: AbortSignal): number {
  return 128 + (os.constants.signals[signal.reason as NodeJS.Signals] ?? 0)
}
