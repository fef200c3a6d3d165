import type { Command } from 'commander'

import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'
import { formatWhy } from '../why-screen.ts'

interface WhyFlags extends CommonOptions {
  readonly json?: boolean
}

/** `why NAME ID`: everything that is known of one document. */
export function addWhy(program: Command, finish: Finish): void {
  const command = program
    .command('why')
    .description(
      'why a document is as it is: row, version, messages, dead letter, and what follows from them',
    )
    .argument('<name>', 'name of the index')
    .argument('<id>', 'key of the row; parts of a composite key are joined with ":"')
    .option('--json', 'print one JSON document')
    .action(async (name: string, id: string, _, command: Command) =>
      finish(await why(name, id, command.optsWithGlobals())),
    )
  addSettingFlags(command, ['status']).addHelpText(
    'after',
    `
Examples:
  $ redstream why cities 42
  $ redstream why cities 42 --json`,
  )
}

async function why(name: string, id: string, flags: WhyFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  const { explainDocument } = await import('../../verify/why.ts')
  const report = await withPipeline(flags, (pipeline) => explainDocument(pipeline.site(name), id))
  process.stdout.write(flags.json ? `${JSON.stringify(report, null, 2)}\n` : formatWhy(report))
  return 0
}
