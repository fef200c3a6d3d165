import type { ReindexProgress } from '../reindex/progress.ts'
import type { Reindexer } from '../reindex/reindexer.ts'
import type { CommonOptions } from './context.ts'

/** The progress while `work` lasts: a bar where stderr is a terminal, or JSON lines on stderr. */
export async function showing<T>(
  reindexer: Reindexer,
  as: 'bar' | 'json',
  work: () => Promise<T>,
): Promise<T> {
  if (as === 'bar' && !process.stderr.isTTY) return work()
  const stopping = new AbortController()
  const display = as === 'json' ? jsonLines(process.stderr) : await bar()
  const following = reindexer.board.follow((progress) => display.show(progress), stopping.signal)
  try {
    return await work()
  } finally {
    stopping.abort()
    await following
    display.end()
  }
}

/** Shows progress, piece by piece. */
export interface Display {
  show(progress: ReindexProgress): void
  end(): void
}

/** One JSON document a line. */
export function jsonLines(stream: NodeJS.WritableStream): Display {
  let last = ''
  return {
    show: (progress) => {
      const line = `${JSON.stringify(progress)}\n`
      if (line !== last) stream.write(line)
      last = line
    },
    end: () => undefined,
  }
}

/** A bar on the terminal. */
export async function bar(): Promise<Display> {
  const { ReindexBar } = await import('./reindex-bar.ts')
  const shown = new ReindexBar()
  return { show: (progress) => shown.show(progress), end: () => shown.end() }
}

/** What is logged at the level `info` would tear the bar apart, and says the same. */
export function quieter<O extends CommonOptions>(options: O): O {
  return process.stderr.isTTY && options.logLevel === 'info' ? { ...options, logLevel: 'warn' } : options
}
