import type { Command } from 'commander'

import { workerKinds, type WorkerKind } from '../../runtime/worker.ts'
import type { Pipeline } from '../../sync/pipeline.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { collectSooner } from '../heap.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { untilSignalled } from '../signals.ts'
import { supervise } from '../supervise.ts'

interface WorkerOptions extends CommonOptions {
  readonly stream?: readonly string[]
}

const commands: readonly { name: string; kinds: readonly WorkerKind[]; does: string; example: string }[] = [
  {
    name: 'run',
    kinds: workerKinds,
    does: 'run every worker that is needed in one process',
    example: 'run --config config/redstream.ts --concurrency 8',
  },
  {
    name: 'consumer',
    kinds: ['consumer'],
    does: 'write changes to Elasticsearch; any number of processes share the work',
    example: 'consumer --stream cities --batch-size 500',
  },
  {
    name: 'delayer',
    kinds: ['delayer'],
    does: 're-queue delay messages that a dead process left behind; any number may run',
    example: 'delayer --delay 10m',
  },
  {
    name: 'trimmer',
    kinds: ['trimmer'],
    does: 'trim the streams by what every group is done with; any number may run',
    example: 'trimmer --retention 1h --trim-interval 5s',
  },
  {
    name: 'relay',
    kinds: ['relay'],
    does: 'take what is in the outbox to the streams (capture "outbox" and "trigger"); any number may run',
    example: 'relay --relay-poll 100ms',
  },
  {
    name: 'follower',
    kinds: ['follower'],
    does: 'follow the log of the database (capture "wal"); one reads, any others stand by',
    example: 'follower --wal-max-lag 20gb',
  },
]

/** `run`, and one command for each kind of worker. */
export function addWorkers(program: Command, finish: Finish): void {
  for (const { name, kinds, does, example } of commands) {
    const command = program.command(name).description(does)
    // These take what comes, of whatever stream.
    if (name !== 'relay' && name !== 'follower')
      command.option('--stream <name...>', 'only these streams (default: all)')
    command.action(async (_, command: Command) => finish(await work(kinds, command.optsWithGlobals())))
    addSettingFlags(command, kinds).addHelpText(
      'after',
      `
SIGINT and SIGTERM finish the batches in flight; a second signal ends the process at once, with exit code 1.

Examples:
  $ redstream ${name}
  $ redstream ${example}`,
    )
  }
}

async function work(kinds: readonly WorkerKind[], options: WorkerOptions): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  const { withEndpoints } = await import('../endpoints.ts')
  collectSooner()
  return withPipeline(options, async (pipeline, logger, settings) => {
    const workers = pipeline.workers(await wanted(kinds, pipeline), options.stream)
    // They go on: other streams, and what was captured before, need them all the same.
    for (const problem of (await pipeline.triggerProblems()) ?? [])
      logger.error({ problem }, 'changes may be missed: triggers are not as they should be')
    const names = workers.map(({ kind, name }) => `${kind} ${name}`)
    const good = await untilSignalled(
      (signal) =>
        withEndpoints({ pipeline, workers, settings, logger }, signal, async () => {
          logger.info({ workers: names }, `${workers.length} workers are running`)
          return supervise(workers, signal, logger)
        }),
      (signal) =>
        logger.info({ signal }, `${signal}: finishing the batches in flight; a second one ends at once`),
    )
    logger.info({}, 'all workers have stopped')
    return good ? 0 : 1
  })
}

/** One kind is what somebody asks for; of all, those that this configuration needs. */
async function wanted(kinds: readonly WorkerKind[], pipeline: Pipeline): Promise<readonly WorkerKind[]> {
  return kinds.length === 1 ? kinds : pipeline.kindsNeeded()
}
