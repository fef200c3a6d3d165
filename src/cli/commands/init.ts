import type { Command } from 'commander'

import type { InitReport } from '../../indexing/index-schema.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../program.ts'
import { addSettingFlags } from '../setting-flags.ts'

interface InitFlags extends CommonOptions {
  readonly json?: boolean
}

/** `init`: creates what is missing in Elasticsearch and Redis. */
export function addInit(program: Command, finish: Finish): void {
  const command = program
    .command('init')
    .description(
      'create indices, aliases and consumer groups; add to existing mappings what can be added, refuse what cannot',
    )
    .option('--json', 'print one JSON document')
    .action(async (_, command: Command) => finish(await init(command.optsWithGlobals())))
  addSettingFlags(command, ['init']).addHelpText(
    'after',
    `
It may run any number of times, also in several processes at once.

Examples:
  $ redstream init
  $ redstream init --json`,
  )
}

async function init(options: InitFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  const report = await withPipeline(options, (pipeline) => pipeline.init())
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : formatInit(report))
  return 0
}

/** The report for people: a line for each index, and one for each change in it. */
export function formatInit(report: InitReport): string {
  return report
    .flatMap(({ name, physical, action, changes }) => [
      `${action.padEnd(9)}  ${name} -> ${physical}`,
      ...changes.map((change) => `           ${change}`),
    ])
    .map((line) => `${line}\n`)
    .join('')
}
