import type { Command } from 'commander'

import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { untilSignalled } from '../signals.ts'

interface RollbackFlags extends CommonOptions {
  readonly json?: boolean
}

/** `rollback NAME`: back to the index before the last reindex. */
export function addRollback(program: Command, finish: Finish): void {
  const command = program
    .command('rollback')
    .description('move the alias back to the index before the last reindex, and remove the newer one')
    .argument('<name>', 'the index, by the alias that applications search')
    .option('--json', 'print one JSON document')
    .action(async (name: string, _, command: Command) =>
      finish(await rollback(name, command.optsWithGlobals())),
    )
  addSettingFlags(command, ['status']).addHelpText(
    'after',
    `
The old index has got every change since, so nothing is lost. It is kept for as long as --keep-old of the reindex says.

Examples:
  $ redstream rollback cities
  $ redstream rollback cities --json`,
  )
}

async function rollback(name: string, { json = false, ...options }: RollbackFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  return withPipeline(options, async (pipeline) => {
    const { from, to, phase } = await untilSignalled((signal) => pipeline.reindexer(name).rollBack(signal))
    if (phase !== 'undone') {
      process.stderr.write(
        `the rollback of "${name}" goes on with running workers, or when this command is run again\n`,
      )
      return 1
    }
    const result = { name, from: to, to: from }
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : `${name} -> ${from}\n`)
    return 0
  })
}
