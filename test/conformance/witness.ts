import type { CaptureMode } from '../../src/capture/modes.ts'
import type { SettingsInput } from '../../src/runtime/settings.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'

/** One of those who tell which rows have changed, and what it needs: all that the suite knows of it. */
export interface Witness {
  readonly mode: CaptureMode
  /** The workers that bring to Redis what it tells; none when the application itself does. */
  readonly workers: readonly WorkerKind[]
}

export const witnesses = {
  subscriber: { mode: 'subscriber', workers: [] },
  outbox: { mode: 'outbox', workers: ['relay'] },
  trigger: { mode: 'trigger', workers: ['relay'] },
  wal: { mode: 'wal', workers: ['follower'] },
} as const satisfies Record<CaptureMode, Witness>

/** What applications and workers of a test share. */
export function settingsOf({ mode }: Witness, space: string): SettingsInput {
  return { namespace: space, capture: mode, captureSchema: captureSchemaOf(space), takeOverAfter: '1s' }
}

/** What captures changes in the database is in a schema beside that of the tables. */
export function captureSchemaOf(space: string): string {
  return `${space}_capture`
}
