import type { CaptureMode } from '../../src/capture/modes.ts'
import type { SettingsInput } from '../../src/runtime/settings.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'

/** One of those who tell which rows have changed, and what it needs: all that the suite knows of it. */
export interface Witness {
  readonly mode: CaptureMode
  /** The workers that bring to Redis what it tells; none when the application itself does. */
  readonly workers: readonly WorkerKind[]
  /** Whether the application tells, so that it matters how it comes to a transaction; to the others each write is in one. */
  readonly isApplication: boolean
}

export const witnesses = {
  subscriber: { mode: 'subscriber', workers: [], isApplication: true },
  outbox: { mode: 'outbox', workers: ['relay'], isApplication: true },
  trigger: { mode: 'trigger', workers: ['relay'], isApplication: false },
  wal: { mode: 'wal', workers: ['follower'], isApplication: false },
} as const satisfies Record<CaptureMode, Witness>

/** What applications and workers of a test share. */
export function settingsOf({ mode }: Witness, space: string): SettingsInput {
  return { namespace: space, capture: mode, captureSchema: captureSchemaOf(space), takeOverAfter: '1s' }
}

/** What captures changes in the database is in a schema beside that of the tables. */
export function captureSchemaOf(space: string): string {
  return `${space}_capture`
}
