import { Option as Flag, type Command } from 'commander'

import type { DatabaseStep } from '../../capture/database-objects.ts'
import type { Adoption } from '../../indexing/adoption.ts'
import type { InitReport } from '../../indexing/index-schema.ts'
import type { PlanReport } from '../../sync/index-administration.ts'
import type { Pipeline } from '../../sync/pipeline.ts'
import type { CommonOptions } from '../context.ts'
import type { Finish } from '../finish.ts'
import { formatDone, formatSteps } from '../database-steps.ts'
import { addSettingFlags } from '../setting-flags.ts'

interface InitFlags extends CommonOptions {
  readonly plan?: boolean
  readonly adopt?: boolean
  readonly json?: boolean
}

/** `init`: creates what is missing in Elasticsearch, Redis and the database. */
export function addInit(program: Command, finish: Finish): void {
  const command = program
    .command('init')
    .description(
      'create indices, aliases, consumer groups, and what the setting capture needs in the database; add to existing mappings what can be added, refuse what cannot',
    )
    .option('--plan', 'change nothing; say what differs from the declaration, and what it takes')
    .addOption(
      new Flag('--adopt', 'take over indices that were made by hand, with their documents').conflicts('plan'),
    )
    .option('--json', 'print one JSON document')
    .action(async (_, command: Command) => finish(await init(command.optsWithGlobals())))
  addSettingFlags(command, ['init']).addHelpText(
    'after',
    `
It may run any number of times, also in several processes at once.
--plan exits with 0 when there is nothing to do, and with 1 when there is something.

Examples:
  $ redstream init
  $ redstream init --json
  $ redstream init --plan
  $ redstream init --adopt && redstream verify cities --repair`,
  )
}

async function init(flags: InitFlags): Promise<number> {
  const { withPipeline } = await import('../context.ts')
  return withPipeline(flags, async (pipeline) =>
    flags.plan ? plan(pipeline, flags) : change(pipeline, flags),
  )
}

async function plan(pipeline: Pipeline, { json }: InitFlags): Promise<number> {
  const steps = await pipeline.database.plan()
  const report = await pipeline.plan()
  process.stdout.write(json ? toJson([...report, ...steps]) : formatPlan(report) + formatSteps(steps))
  return [...report, ...steps].every(({ action }) => action === 'nothing') ? 0 : 1
}

async function change(pipeline: Pipeline, { adopt, json }: InitFlags): Promise<number> {
  const adoptions = adopt ? await pipeline.adopt() : []
  // Before `init`, which may refuse what was adopted: that it was adopted is true all the same.
  if (!json) process.stdout.write(formatAdoptions(adoptions))
  const steps = await pipeline.database.apply()
  if (!json) process.stdout.write(formatDone(steps))
  const report = await pipeline.init()
  process.stdout.write(json ? toJson([...report, ...steps]) : formatInit(report))
  return 0
}

function toJson(report: readonly (InitReport[number] | PlanReport[number] | DatabaseStep)[]): string {
  return `${JSON.stringify(report, null, 2)}\n`
}

/** The report for people: a line for each index, and one for each change in it. */
export function formatInit(report: InitReport): string {
  return report
    .flatMap(({ name, physical, action, changes }) => [
      line(action, `${name} -> ${physical}`),
      ...indented(changes),
    ])
    .join('')
}

/** The plan for people, with the next step of each index. */
export function formatPlan(report: PlanReport): string {
  return report
    .flatMap(({ name, physical, action, changes, reason, rows, bytes }) => {
      const size = rows === undefined ? [] : [`${rows.toLocaleString('en-US')} rows`]
      if (bytes !== undefined) size.push(`${(bytes / 1024 ** 2).toFixed(1)} MiB`)
      const what = physical === null ? name : `${name} -> ${physical}`
      return [
        line(action, size.length === 0 ? what : `${what} (${size.join(', ')})`),
        ...indented([...changes, ...(reason === undefined ? [] : [reason])]),
      ]
    })
    .join('')
}

function formatAdoptions(adoptions: readonly Adoption[]): string {
  return adoptions
    .flatMap(({ name, physical, documents }) => [
      line('adopted', `${name} -> ${physical} (${documents.toLocaleString('en-US')} documents)`),
      ...indented([`next, after init: redstream verify ${name} --repair`]),
    ])
    .join('')
}

function line(action: string, text: string): string {
  return `${action.padEnd(9)}  ${text}\n`
}

function indented(lines: readonly string[]): string[] {
  return lines.map((text) => line('', text))
}
