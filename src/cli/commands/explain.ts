import type { Command } from 'commander'

import { formatPaths, type ExplainedPath } from '../../cascade/explain.ts'
import { formatDocuments, type ExplainedDocuments } from '../../sync/projection/explain.ts'
import type { Pipeline } from '../../sync/pipeline.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'

interface ExplainFlags extends CommonOptions {
  readonly json?: boolean
}

/** `explain`: what would happen, and why. */
export function addExplain(program: Command, finish: Finish): void {
  const explain = program.command('explain').description('say what follows from a change, without making one')
  explain
    .command('cascade')
    .description('what changes of which tables index which documents again, and through which joins')
    .argument('<name>', 'an index (its documents), or an entity or table (its changes)')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
It comes from \`relations\` and \`watch\` of @Indexed, and needs the database only.

Examples:
  $ redstream explain cascade cities
  $ redstream explain cascade Country
  $ redstream explain cascade cities --json | jq '.[].relation'`,
    )
    .action(async (name: string, _, command: Command) =>
      finish(await cascade(name, command.optsWithGlobals())),
    )
  explain
    .command('documents')
    .description('who makes the documents: the database, or entities, and why')
    .argument('<name>', 'an index, or its entity or table')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Documents that are made by the database cost a consumer least. It needs the database only.

Examples:
  $ redstream explain documents cities
  $ redstream explain documents City --json | jq '.[].because'`,
    )
    .action(async (name: string, _, command: Command) =>
      finish(await documents(name, command.optsWithGlobals())),
    )
}

async function documents(name: string, options: ExplainFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  const explain = (pipeline: Pipeline): Promise<ExplainedDocuments[]> => pipeline.explainDocuments(name)
  const explained = await withPipeline(options, explain, { elasticsearch: false, redis: false })
  process.stdout.write(options.json ? `${JSON.stringify(explained, null, 2)}\n` : formatDocuments(explained))
  return 0
}

async function cascade(name: string, options: ExplainFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  const explain = (pipeline: Pipeline): Promise<ExplainedPath[]> =>
    Promise.resolve(pipeline.explainCascade(name))
  const paths = await withPipeline(options, explain, { elasticsearch: false, redis: false })
  process.stdout.write(options.json ? `${JSON.stringify(paths, null, 2)}\n` : formatPaths(paths))
  return 0
}
