import { SingleBar } from 'cli-progress'
import { Option as Flag, type Command } from 'commander'

import { differencesLeft } from '../../verify/report.ts'
import type { Scope, VerifyOptions, VerifyProgress } from '../../verify/verify.ts'
import { commaSeparated, duration, positiveInteger } from '../argument-parsers.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { untilSignalled } from '../signals.ts'
import { formatVerify } from '../verify-table.ts'

interface VerifyFlags extends CommonOptions {
  readonly repair?: boolean
  readonly sample?: number
  readonly since?: number
  readonly ids?: readonly string[]
  readonly index?: string
  readonly examples: number
  readonly patience: number
  readonly json?: boolean
}

/** `verify NAME`: compares rows with documents, and mends what differs. */
export function addVerify(program: Command, finish: Finish): void {
  const command = program
    .command('verify')
    .description('compare every row with its document, both ways, while both change')
    .argument('<name>', 'name of the index')
    .option('--repair', 'queue what differs in the bulk lane, and check that it is cured')
    .addOption(
      new Flag('--sample <rows>', 'only about so many rows, in random ranges of keys, and random documents')
        .argParser(positiveInteger)
        .conflicts(['since', 'ids']),
    )
    .addOption(
      new Flag('--since <duration>', 'only rows written in this time, by their update-date column')
        .argParser(duration)
        .conflicts(['sample', 'ids']),
    )
    .addOption(
      new Flag('--ids <keys>', 'only these rows, separated by commas')
        .argParser(commaSeparated)
        .conflicts(['sample', 'since']),
    )
    .option('--index <index>', 'a physical index in place of the one behind the alias')
    .option('--examples <number>', 'examples of each kind of difference', positiveInteger, 10)
    .addOption(
      new Flag(
        '--patience <duration>',
        'how long the queue may stand still before a difference counts as in flight',
      )
        .argParser(duration)
        .default(60_000, '1m'),
    )
    .option('--json', 'print one JSON document')
    .action(async (name: string, _, command: Command) =>
      finish(await verify(name, command.optsWithGlobals())),
    )
  addSettingFlags(command, ['verify']).addHelpText(
    'after',
    `
Exit codes: 0 no differences, or all of them repaired; 1 differences are left, or it was stopped; 2 wrong usage.

Examples:
  $ redstream verify cities
  $ redstream verify cities --repair --json
  $ redstream verify cities --sample 10000
  $ redstream verify cities --since 1h
  $ redstream verify cities --ids 1,2,3`,
  )
}

async function verify(name: string, flags: VerifyFlags): Promise<number> {
  const { repair = false, examples, patience: patienceMs, index, json = false } = flags
  const { withPipeline } = await import('../context.ts')
  const { verifyIndex } = await import('../../verify/verify.ts')
  const scope = scopeOf(flags)
  return withPipeline(flags, async (pipeline, logger) => {
    const site = pipeline.site(name)
    const options = { scope, repair, examples, patienceMs, index }
    const due = (await pipeline.log?.notes.read())?.verify.get(name)
    const report = await untilSignalled(
      (signal) => withProgress(!json, { ...options, signal }, (shown) => verifyIndex(site, shown)),
      (received) => logger.info({ signal: received }, `${received}: stopping after the page at hand`),
    )
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatVerify(report))
    const isInStep = report.complete && differencesLeft(report) === 0
    // Only what the log is followed since then is whole: changes between the two would be missing again.
    if (isInStep && scope.kind === 'all' && index === undefined && due?.slotAt !== undefined)
      await pipeline.log?.notes.settle(name, due)
    return isInStep ? 0 : 1
  })
}

function scopeOf({ sample, since, ids }: VerifyFlags): Scope {
  if (sample !== undefined) return { kind: 'sample', size: sample }
  if (since !== undefined) return { kind: 'since', ms: since }
  return ids === undefined ? { kind: 'all' } : { kind: 'ids', ids }
}

/** Shows a bar while `work` runs, on a terminal, where it is known how much there is to do. */
async function withProgress<T>(
  wanted: boolean,
  options: VerifyOptions,
  work: (options: VerifyOptions) => Promise<T>,
): Promise<T> {
  const { scope } = options
  if (!wanted || !process.stderr.isTTY || scope.kind === 'since' || scope.kind === 'ids') return work(options)
  const bar = new SingleBar({
    stream: process.stderr,
    format: '{bar} {percentage}%  {rows} rows and {documents} documents compared',
    hideCursor: true,
    clearOnComplete: true,
  })
  const onProgress = ({ rows, documents }: VerifyProgress, total: number): void => {
    const most = 2 * (scope.kind === 'sample' ? Math.min(scope.size, total) : total)
    if (!bar.isActive) bar.start(most, 0, { rows: 0, documents: 0 })
    // The table grows meanwhile.
    bar.update(Math.min(most, rows + documents), { rows, documents })
  }
  try {
    return await work({ ...options, onProgress })
  } finally {
    if (bar.isActive) bar.stop()
  }
}
