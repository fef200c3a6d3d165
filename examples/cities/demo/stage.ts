import { setTimeout as pause } from 'node:timers/promises'

import type { Client } from '@elastic/elasticsearch'
import type { Redstream } from 'redstream'
import type { DataSource } from 'typeorm'

import type { Screen } from './screen.ts'
import type { SourceData } from './source-data.ts'
import type { Workers } from './workers.ts'
import type { Workspace } from './workspace.ts'

/** What the steps need that is there before the application is. */
export interface Stage {
  readonly screen: Screen
  /** Aborts when the user wants to end the demo. */
  readonly signal: AbortSignal
  readonly workspace: Workspace
  readonly workers: Workers
  readonly data: SourceData
}

/** The same with the application's connections. */
export interface Application extends Stage {
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly elasticsearch: Client
}

/** Ends the step when the user or a worker has ended. */
export function check({ signal, workers }: Stage): void {
  signal.throwIfAborted()
  workers.check()
}

/**
 * Looks again and again until `look` finds something.
 *
 * @param what - what is waited for, for the error message
 * @throws Error when it takes longer than `timeoutMs`, the user ends the demo, or a worker dies
 */
export async function until<T>(
  stage: Stage,
  what: string,
  look: () => Promise<T | undefined>,
  { everyMs = 0, timeoutMs = 60_000 } = {},
): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    check(stage)
    if (performance.now() > end) throw new Error(`${what}: not after ${timeoutMs / 1_000} s`)
    if (everyMs > 0) await pause(everyMs)
  }
}
