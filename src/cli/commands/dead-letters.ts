import type { Command } from 'commander'

import { RedstreamError } from '../../errors.ts'
import type { DeadLetter } from '../../streams/dead-letters.ts'
import type { Pipeline } from '../../sync/pipeline.ts'
import type { CommonOptions } from '../context.ts'
import { formatLetters } from '../letters-table.ts'
import type { Finish } from '../finish.ts'
import { addSettingFlags } from '../setting-flags.ts'

interface LetterOptions extends CommonOptions {
  readonly stream?: readonly string[]
  readonly type?: readonly string[]
  readonly id?: readonly string[]
  readonly all?: boolean
  readonly json?: boolean
}

type Act = (pipeline: Pipeline, letters: readonly DeadLetter[]) => Promise<string>

const actions: readonly { name: string; does: string; example: string; act?: Act }[] = [
  {
    name: 'list',
    does: 'what could not be indexed, why, and how often it was tried',
    example: 'list --json',
  },
  {
    name: 'retry',
    does: 'queue these rows again; a letter goes when its row is indexed',
    example: 'retry --type document_parsing_exception',
    act: async (pipeline, letters) => {
      await pipeline.retryLetters(letters)
      return `${count(letters)} queued again`
    },
  },
  {
    name: 'discard',
    does: 'forget these letters; the documents stay as they are',
    example: 'discard --stream cities --id 42',
    act: async (pipeline, letters) => {
      await pipeline.discardLetters(letters)
      return `${count(letters)} discarded`
    },
  },
]

/** `dead-letters list | retry | discard`. */
export function addDeadLetters(program: Command, finish: Finish): void {
  const group = program
    .command('dead-letters')
    .description('rows that could not be indexed: list, retry, discard')
  for (const { name, does, example, act } of actions) {
    const command = group
      .command(name)
      .description(does)
      .option('--stream <name...>', 'only of these streams (default: all)')
      .option('--type <type...>', 'only with these error types')
      .option('--id <key...>', 'only these rows')
      .action(async (_, command: Command) => finish(await run(act, command.optsWithGlobals())))
    if (act === undefined) command.option('--json', 'print one JSON document')
    else command.option('--all', 'all of them, when nothing else chooses')
    addSettingFlags(command, ['status']).addHelpText(
      'after',
      `\nExamples:\n  $ redstream dead-letters ${name}${act === undefined ? '' : ' --all'}\n  $ redstream dead-letters ${example}`,
    )
  }
}

async function run(act: Act | undefined, options: LetterOptions): Promise<number> {
  const { stream: streams, type: types, id: ids, all = false, json = false } = options
  if (act !== undefined && !all && (streams ?? types ?? ids) === undefined) {
    throw new RedstreamError('USAGE', 'say which letters: --stream, --type or --id, or --all')
  }
  const { withPipeline } = await import('../context.ts')
  const work = async (pipeline: Pipeline): Promise<number> => {
    const letters = await pipeline.deadLetters({ streams, types, ids })
    if (act !== undefined) process.stdout.write(`${await act(pipeline, letters)}\n`)
    else process.stdout.write(json ? `${JSON.stringify(letters, null, 2)}\n` : formatLetters(letters))
    return 0
  }
  return withPipeline(options, work, { elasticsearch: false })
}

function count(letters: readonly DeadLetter[]): string {
  return letters.length === 1 ? '1 dead letter' : `${letters.length.toLocaleString('en-US')} dead letters`
}
