import type { CaptureMode } from '../../src/capture/modes.ts'
import type { Role } from './processes/crew.ts'

/** The worker that brings to Redis what a witness in the database tells. */
export const carrierOf: Readonly<Partial<Record<CaptureMode, Role>>> = {
  outbox: 'relay',
  trigger: 'relay',
  wal: 'follower',
}

/** Whether the database itself is the witness: then writes that TypeORM knows nothing of are seen too. */
export function seesEverything(capture: CaptureMode): boolean {
  return capture === 'trigger' || capture === 'wal'
}
