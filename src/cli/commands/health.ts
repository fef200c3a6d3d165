import type { Command } from 'commander'

import { healthProblems, type Problem } from '../../runtime/health.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'

interface HealthOptions extends CommonOptions {
  readonly json?: boolean
}

/** `health`: one look at all streams and workers, for cron and monitoring. */
export function addHealth(program: Command, finish: Finish): void {
  const command = program
    .command('health')
    .description('exit 0 when every stream keeps up and a worker of each kind gets on; else 1, and why')
    .option('--json', 'print one JSON document')
    .action(async (_, command: Command) => finish(await health(command.optsWithGlobals())))
  addSettingFlags(command, ['status', 'health']).addHelpText(
    'after',
    `
It looks at the whole installation. For one process, and often, its --http endpoint is cheaper.

Examples:
  $ redstream health
  $ redstream health --max-lag 5m --json`,
  )
}

async function health(options: HealthOptions): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  const problems = await withPipeline(
    options,
    async (pipeline, _, settings) =>
      healthProblems(await pipeline.status(), settings, await pipeline.kindsNeeded()),
    { elasticsearch: false },
  )
  process.stdout.write(options.json ? toJson(problems) : toText(problems))
  return problems.length === 0 ? 0 : 1
}

function toJson(problems: readonly Problem[]): string {
  return `${JSON.stringify({ healthy: problems.length === 0, problems }, null, 2)}\n`
}

function toText(problems: readonly Problem[]): string {
  const lines = problems.length === 0 ? ['healthy'] : problems.map(({ message }) => message)
  return lines.map((line) => `${line}\n`).join('')
}
