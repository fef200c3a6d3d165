import type { Command } from 'commander'
import colors from 'picocolors'

import { RedstreamError } from '../../errors.ts'
import { pause } from '../../runtime/backoff.ts'
import type { Pipeline, Status } from '../../sync/pipeline.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { messageOf } from '../report-error.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { untilSignalled } from '../signals.ts'
import { formatStatus } from '../status-table.ts'

interface StatusOptions extends CommonOptions {
  readonly json?: boolean
  readonly watch?: boolean
}

const everyMs = 1_000
const clearScreen = '\u001B[H\u001B[2J'

/** `status`: how much is waiting, and who works on it. */
export function addStatus(program: Command, finish: Finish): void {
  const command = program
    .command('status')
    .description('per stream: length, pending, lag, delay, dead letters; and the workers that are alive')
    .option('--json', 'print one JSON document')
    .option('--watch', 'show it anew every second, on a terminal, until Ctrl-C')
    .action(async (_, command: Command) => finish(await status(command.optsWithGlobals())))
  addSettingFlags(command, ['status']).addHelpText(
    'after',
    `
Examples:
  $ redstream status
  $ redstream status --watch
  $ redstream status --json | jq '.streams[].main.lagMs'`,
  )
}

async function status(options: StatusOptions): Promise<number> {
  const { json = false, watch = false } = options
  if (watch && json) throw new RedstreamError('USAGE', '--watch and --json cannot be used together')
  if (watch && !process.stdout.isTTY)
    throw new RedstreamError('USAGE', '--watch needs a terminal; use --json')
  const { withPipeline } = await import('../context.ts')
  const show = async (pipeline: Pipeline): Promise<number> => {
    if (watch) {
      await untilSignalled((signal) => watchStatus(pipeline, signal, (text) => process.stdout.write(text)))
      return 0
    }
    const found = await pipeline.status()
    process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : formatFor(found))
    return 0
  }
  return withPipeline(options, show, { elasticsearch: false })
}

// picocolors takes a CI for a terminal; what is piped into a file there must be plain all the same.
const formatFor = (found: Status): string =>
  formatStatus(found, { color: process.stdout.isTTY && colors.isColorSupported })

/** Draws the status every second until `signal` aborts; an error is shown in its place, since it may pass. */
async function watchStatus(
  pipeline: Pick<Pipeline, 'status'>,
  signal: AbortSignal,
  draw: (text: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    const text = await pipeline
      .status()
      .then(formatFor, (error: unknown) => `redstream: ${messageOf(error)}\n`)
    draw(clearScreen + text)
    await pause(everyMs, signal)
  }
}
