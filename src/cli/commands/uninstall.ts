import type { Command } from 'commander'

import type { CommonOptions } from '../context.ts'
import { formatDone, formatSteps } from '../database-steps.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'

interface UninstallFlags extends CommonOptions {
  readonly plan?: boolean
  readonly unused?: boolean
  readonly json?: boolean
}

/** `uninstall`: removes from the database what captures changes. */
export function addUninstall(program: Command, finish: Finish): void {
  const command = program
    .command('uninstall')
    .description('remove from the database what captures changes: everything that init has ever made there')
    .option('--unused', 'only what the configuration does not need any more')
    .option('--plan', 'change nothing; say what would be removed')
    .option('--json', 'print one JSON document')
    .action(async (_, command: Command) => finish(await uninstall(command.optsWithGlobals())))
  addSettingFlags(command, ['uninstall']).addHelpText(
    'after',
    `
Stop the applications first. With --unused, let all of them and the workers run with the new configuration first.
It refuses to remove an outbox whose rows are not published yet. Indices, streams and consumer groups stay.
--plan exits with 0 when there is nothing to do, and with 1 when there is something.

Examples:
  $ redstream uninstall --plan
  $ redstream uninstall --unused
  $ redstream uninstall --json`,
  )
}

async function uninstall({ plan, unused, json, ...flags }: UninstallFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  return withPipeline(
    flags,
    async ({ database }) => {
      const what = unused ? 'unused' : 'everything'
      const steps = plan ? await database.planRemoval(what) : await database.remove(what)
      const text = plan ? formatSteps(steps) : formatDone(steps)
      process.stdout.write(json ? `${JSON.stringify(steps, null, 2)}\n` : text || 'nothing is there\n')
      return plan && steps.some(({ action }) => action !== 'nothing') ? 1 : 0
    },
    { elasticsearch: false, redis: false },
  )
}
