const stopSignals = ['SIGINT', 'SIGTERM'] as const

// Ctrl-C reaches every process of the terminal, and npm passes it on to its child once more: what comes again
// within this time is the same request.
const sameRequestMs = 500

/**
 * Runs `work` with a signal that aborts at the first SIGINT or SIGTERM, so that it can finish what it has begun. The
 * second one ends the process at once with exit code 1, because work was cut off.
 *
 * @param onFirst - called at the first one, with its name
 */
export async function untilSignalled<T>(
  work: (signal: AbortSignal) => Promise<T>,
  onFirst: (name: string) => void = () => undefined,
): Promise<T> {
  const stop = new AbortController()
  let first: { name: string; at: number } | undefined
  const onSignal = (name: NodeJS.Signals): void => {
    const at = performance.now()
    if (first === undefined) {
      first = { name, at }
      onFirst(name)
      stop.abort()
    } else if (name !== first.name || at - first.at > sameRequestMs) {
      process.exit(1)
    }
  }
  for (const name of stopSignals) process.on(name, onSignal)
  try {
    return await work(stop.signal)
  } finally {
    for (const name of stopSignals) process.off(name, onSignal)
  }
}
