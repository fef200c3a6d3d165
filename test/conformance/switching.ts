import type { CaptureMode } from '../../src/capture/modes.ts'
import { waitUntil, type Program } from '../process/support/program.ts'
import type { Left } from '../torture/outcome/drained.ts'
import { leftInDatabase, thisMoment, type Moment } from '../torture/outcome/left-in-database.ts'
import { done, stop } from './processes/processes.ts'
import type { Stage } from './stage.ts'
import { captureSchemaOf } from './witness.ts'

/** The processes of one mode: two applications that write all the time, and the workers. */
export interface Running {
  readonly mode: CaptureMode
  readonly applications: readonly Program[]
  readonly workers: Program
}

/** Starts two applications and their workers. */
export async function start(stage: Stage, mode: CaptureMode): Promise<Running> {
  const workers = await stage.processes.workers('run --delay 5s', environment(mode))
  const applications = [await application(stage, mode), await application(stage, mode)]
  return { mode, applications, workers }
}

/** Changes over to another mode in the steps of docs/operations.md, while the applications write. */
export async function changeOver(stage: Stage, from: Running, mode: CaptureMode): Promise<Running> {
  await done(stage.processes.command('init', environment(mode)))
  const workers = await stage.processes.workers('run --delay 5s', environment(mode))
  const applications: Program[] = []
  for (const former of from.applications) {
    await stop(former)
    applications.push(await application(stage, mode))
  }
  await passed(stage, from.mode)
  await stop(from.workers)
  await removeFormer(stage, mode)
  return { mode, applications, workers }
}

/** Stops everything, the applications first. */
export async function stopAll({ applications, workers }: Running): Promise<void> {
  await Promise.all(applications.map(stop))
  await stop(workers)
}

/** Waits until what the former applications have committed has come to Redis. Triggers go on until they are dropped. */
async function passed(stage: Stage, mode: CaptureMode): Promise<void> {
  if (mode === 'trigger') return
  const now = await thisMoment(stage.database)
  await waitUntil(
    async () => isEmpty(await leftIn(stage, mode, now)),
    () => `the ${mode} has something left`,
  )
}

/** Drops what the mode does not need; what triggers have left in the outbox is relayed before. */
async function removeFormer(stage: Stage, mode: CaptureMode): Promise<void> {
  const uninstall = () => stage.processes.command('uninstall --unused', environment(mode))
  if ((await uninstall().exit).code === 0) return
  const relay = await stage.processes.workers('relay', environment(mode))
  const now = await thisMoment(stage.database)
  await waitUntil(
    async () => isEmpty(await leftIn(stage, 'outbox', now)),
    () => 'the outbox is not empty',
  )
  await stop(relay)
  await done(uninstall())
}

function leftIn({ database, space }: Stage, mode: CaptureMode, before: Moment): Promise<Left> {
  return leftInDatabase(database, mode, captureSchemaOf(space.schema), before)
}

function isEmpty(left: Left): boolean {
  return Object.keys(left).length === 0
}

async function application(stage: Stage, mode: CaptureMode): Promise<Program> {
  const program = stage.processes.application('writes until SIGTERM', environment(mode))
  await program.logged('is writing')
  return program
}

function environment(mode: CaptureMode): Readonly<Record<string, string>> {
  return { TEST_CAPTURE: mode }
}
