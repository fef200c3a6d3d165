import { InvalidArgumentError, type Command } from 'commander'

import { RedstreamError } from '../../errors.ts'
import { isSettled } from '../../reindex/phases.ts'
import { resultOf } from '../../reindex/result.ts'
import type { Reindexer } from '../../reindex/reindexer.ts'
import type { ReindexState } from '../../reindex/state.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Settings } from '../../runtime/settings.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { quieter, showing } from '../reindex-display.ts'
import { untilSignalled } from '../signals.ts'

interface ReindexFlags extends CommonOptions {
  readonly workers: number
  readonly rate?: number
  readonly detach?: boolean
  readonly wait?: boolean
  readonly cancel?: boolean
  readonly json?: boolean
}

/** `reindex NAME`: a new index from the database, behind the same alias. */
export function addReindex(program: Command, finish: Finish): void {
  const command = program
    .command('reindex')
    .description('make a new index from the database and move the alias to it, while everything goes on')
    .argument('<name>', 'the index, by the alias that applications search')
    .option(
      '--workers <number>',
      'slices that this process copies at once; 0 leaves them to running workers',
      whole,
      4,
    )
    .option(
      '--rate <rows>',
      'at most so many rows a second, all processes together (default: as many as go)',
      whole,
    )
    .option('--detach', 'begin it and leave it to the running workers')
    .option('--wait', 'wait for one that is under way')
    .option('--cancel', 'undo one that has not moved the alias yet')
    .option('--json', 'print one JSON document; the progress goes to stderr, a JSON document a line')
    .action(async (name: string, _, command: Command) =>
      finish(await reindex(name, command.optsWithGlobals())),
    )
  addSettingFlags(command, ['reindex']).addHelpText(
    'after',
    `
Live changes go to both indices from the beginning, searches go to the old one until the new one is complete. The old
one is then kept up to date for a while: redstream rollback. When this process dies, run it again, or let a running
worker go on: it continues where it was. SIGINT and SIGTERM stop it in the same way; a second one ends it at once.

Examples:
  $ redstream reindex cities
  $ redstream reindex cities --workers 8 --rate 5000 --keep-old 1d
  $ redstream reindex cities --detach && redstream reindex cities --wait --json
  $ redstream reindex cities --cancel`,
  )
}

async function reindex(name: string, options: ReindexFlags): Promise<number> {
  const ways = [options.detach, options.wait, options.cancel].filter(Boolean)
  if (ways.length > 1) throw new RedstreamError('USAGE', 'choose one of --detach, --wait and --cancel')
  const { withPipeline } = await import('../context.ts')
  return withPipeline(quieter(options), async (pipeline, logger, settings) => {
    const reindexer = pipeline.reindexer(name)
    const work = (signal: AbortSignal): Promise<ReindexState | undefined> =>
      run({ reindexer, options, settings, logger, name }, signal)
    const state = await untilSignalled(
      (signal) => showing(reindexer, options.json ? 'json' : 'bar', () => work(signal)),
      (signal) => logger.info({ signal }, `${signal}: saving where it is; a second one ends at once`),
    )
    return conclude(name, options, state)
  })
}

interface Run {
  readonly name: string
  readonly reindexer: Reindexer
  readonly options: ReindexFlags
  readonly settings: Settings
  readonly logger: Logger
}

async function run(
  { name, reindexer, options, settings, logger }: Run,
  signal: AbortSignal,
): Promise<ReindexState | undefined> {
  const { workers: hands, rate, detach, wait, cancel } = options
  if (cancel) return reindexer.cancel(signal)
  if (wait) return reindexer.wait({ hands }, signal)
  const wishes = { keepOldMs: settings.keepOldMs, rate }
  if (!detach) return reindexer.start(wishes, { hands }, signal)
  const state = await reindexer.start(
    wishes,
    { hands: 0 },
    signal,
    ({ phase }) => phase === 'copying' || isSettled(phase),
  )
  if (state.phase === 'copying') logger.info({ index: name }, 'the running workers go on with it')
  return state
}

/** Prints what it came to; returns the exit code. */
function conclude(name: string, options: ReindexFlags, state: ReindexState | undefined): number {
  if (state === undefined) throw new RedstreamError('INDEX', `there is no reindex of "${name}" to wait for`)
  if (options.cancel && state.phase === 'undone') {
    process.stderr.write(`the reindex of "${name}" is undone: ${state.to} is removed\n`)
    return 0
  }
  if (state.phase === 'undone' || state.phase === 'removing') {
    throw new RedstreamError(
      'INDEX',
      `"${name}" is not reindexed, the alias is as before: ${state.problem ?? ''}`,
    )
  }
  if (!isSettled(state.phase)) {
    process.stderr.write(
      `the reindex of "${name}" goes on with running workers, or when this command is run again\n`,
    )
    return options.detach ? 0 : 1
  }
  const result = resultOf(state)
  process.stdout.write(
    options.json
      ? `${JSON.stringify(result)}\n`
      : `${name} -> ${result.to}: ${result.documents.toLocaleString('en-US')} documents in ${result.seconds} s\n`,
  )
  return 0
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It takes a whole number from 0.')
  return Number(text)
}
