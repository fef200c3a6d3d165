import type { Command } from 'commander'

import { RedstreamError } from '../../errors.ts'
import { isSettled } from '../../reindex/phases.ts'
import type { ReindexProgress } from '../../reindex/progress.ts'
import type { Reindexer } from '../../reindex/reindexer.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { progressText } from '../progress-text.ts'
import { bar, jsonLines, type Display } from '../reindex-display.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { untilSignalled } from '../signals.ts'

interface ProgressFlags extends CommonOptions {
  readonly follow?: boolean
  readonly json?: boolean
}

/** `progress [NAME]`: how far reindexes are, whoever drives them. */
export function addProgress(program: Command, finish: Finish): void {
  const command = program
    .command('progress')
    .description('how far a reindex is, from any process')
    .argument('[name]', 'the index, by the alias that applications search (default: all)')
    .option('--follow', 'show it until it is over, or Ctrl-C; one index')
    .option('--json', 'print a JSON document for each index; with --follow a line for each change')
    .action(async (name: string | undefined, _, command: Command) =>
      finish(await progress(name, command.optsWithGlobals())),
    )
  addSettingFlags(command, ['status']).addHelpText(
    'after',
    `
Examples:
  $ redstream progress
  $ redstream progress cities --follow
  $ redstream progress cities --json | jq .secondsLeft`,
  )
}

async function progress(
  name: string | undefined,
  { follow = false, json = false, ...options }: ProgressFlags,
): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  return withPipeline(
    options,
    async (pipeline) => {
      const names = name === undefined ? pipeline.indices : [name]
      const [only] = names
      if (!follow) {
        for (const each of names) await show(pipeline.reindexer(each), json)
        return 0
      }
      if (only === undefined || names.length > 1)
        throw new RedstreamError('USAGE', `say which index to follow: ${names.join(', ')}`)
      if ((await pipeline.reindexer(only).store.read()) === undefined)
        throw new RedstreamError('INDEX', `there is no reindex of "${only}" to follow`)
      const display = json ? jsonLines(process.stdout) : process.stdout.isTTY ? await bar() : textLines()
      return untilSignalled((signal) => followOne(pipeline.reindexer(only), display, signal))
    },
    { elasticsearch: false },
  )
}

async function show(reindexer: Reindexer, json: boolean): Promise<void> {
  const found = await reindexer.board.read()
  if (found === undefined) return
  process.stdout.write(
    json ? `${JSON.stringify(found)}\n` : `${found.name} -> ${found.to}: ${progressText(found)}\n`,
  )
}

/** Shows it until it is settled; exit code 1 when it was undone. */
async function followOne(reindexer: Reindexer, display: Display, signal: AbortSignal): Promise<number> {
  const over = new AbortController()
  let last: ReindexProgress | undefined
  await reindexer.board.follow(
    (found) => {
      last = found
      display.show(found)
      if (isSettled(found.phase)) over.abort()
    },
    AbortSignal.any([signal, over.signal]),
  )
  display.end()
  return last?.phase === 'undone' ? 1 : 0
}

/** A line for each change of what is being done. */
function textLines(): Display {
  let last = ''
  return {
    show: (found) => {
      if (found.phase !== last || found.phase === 'copying') process.stdout.write(`${progressText(found)}\n`)
      last = found.phase
    },
    end: () => undefined,
  }
}
