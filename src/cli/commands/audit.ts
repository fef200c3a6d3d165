import { SingleBar } from 'cli-progress'
import { Option as Flag, type Command } from 'commander'

import type { AuditProgress, AuditSpan } from '../../audit/audit.ts'
import { shadowModes, type ShadowMode } from '../../audit/shadow.ts'
import { RedstreamError } from '../../errors.ts'
import { formatAge } from '../../runtime/age.ts'
import type { Pipeline } from '../../sync/pipeline.ts'
import { duration } from '../argument-parsers.ts'
import { formatAudit } from '../audit-table.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { untilSignalled } from '../signals.ts'

interface AuditFlags extends CommonOptions {
  readonly against?: ShadowMode
  readonly for: number
  readonly grace: number
  readonly clean?: boolean
  readonly json?: boolean
}

/** `audit`: what the source of changes misses that another one sees. */
export function addAudit(program: Command, finish: Finish): void {
  const command = program
    .command('audit')
    .description('follow the database with a second source of changes, and list what the first one missed')
    .addOption(
      new Flag(
        '--against <source>',
        'the second source, which is made for the audit and removed after it',
      ).choices(shadowModes),
    )
    .addOption(new Flag('--for <duration>', 'how long to follow').argParser(duration).default(600_000, '10m'))
    .addOption(
      new Flag('--grace <duration>', 'how long after its commit a change may be told of')
        .argParser(duration)
        .default(10_000, '10s'),
    )
    .addOption(
      new Flag('--clean', 'only remove what an audit has left behind that was killed').conflicts('against'),
    )
    .option('--json', 'print one JSON document')
    .action(async (_, command: Command) => finish(await audit(command.optsWithGlobals())))
  addSettingFlags(command, ['audit']).addHelpText(
    'after',
    `
--against trigger puts triggers on the tables, which cost the writers some time; the role must own the tables.
--against wal needs wal_level = logical and a role with REPLICATION; it holds a temporary replication slot.
SIGTERM ends it early, with what was seen until then.

Exit codes: 0 nothing was missed; 1 something was missed or still waits; 2 wrong usage.

Examples:
  $ redstream audit --against trigger --for 10m
  $ redstream audit --against wal --for 1h --json
  $ redstream audit --clean`,
  )
}

async function audit(flags: AuditFlags): Promise<number> {
  const { against, clean = false, json = false } = flags
  if (against === undefined && !clean)
    throw new RedstreamError('USAGE', 'say which source to compare with: --against trigger, or --against wal')
  const { withPipeline } = await import('../context.ts')
  return withPipeline(
    flags,
    async (pipeline, logger) => {
      if (against === undefined) return cleanUp(pipeline, json)
      const span = { forMs: flags.for, graceMs: flags.grace }
      const report = await untilSignalled(
        (signal) =>
          withProgress(!json, flags.for + flags.grace, (onProgress) =>
            pipeline.audit({ against, ...span, signal, onProgress }),
          ),
        (received) => logger.info({ signal: received }, `${received}: judging what was seen so far`),
      )
      process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatAudit(report))
      return report.missed + report.waiting === 0 ? 0 : 1
    },
    { elasticsearch: false },
  )
}

async function cleanUp(pipeline: Pipeline, json: boolean): Promise<number> {
  const removed = await pipeline.cleanAudits()
  const lines = removed.length === 0 ? ['nothing was left behind'] : removed.map((one) => `removed  ${one}`)
  process.stdout.write(json ? `${JSON.stringify({ removed }, null, 2)}\n` : `${lines.join('\n')}\n`)
  return 0
}

/** Shows a bar of the time while `work` runs, on a terminal. */
async function withProgress<T>(
  wanted: boolean,
  totalMs: number,
  work: (onProgress: NonNullable<AuditSpan['onProgress']>) => Promise<T>,
): Promise<T> {
  if (!wanted || !process.stderr.isTTY) return work(() => undefined)
  const bar = new SingleBar({
    stream: process.stderr,
    format: '{bar} {left} left, {changes} changes seen, {missed} missed',
    hideCursor: true,
    clearOnComplete: true,
  })
  const show = ({ changes, missed, leftMs }: AuditProgress): void => {
    const payload = { changes, missed, left: formatAge(leftMs) }
    if (!bar.isActive) bar.start(totalMs, 0, payload)
    bar.update(Math.max(0, totalMs - leftMs), payload)
  }
  try {
    return await work(show)
  } finally {
    if (bar.isActive) bar.stop()
  }
}
