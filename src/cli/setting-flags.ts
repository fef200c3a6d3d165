import { InvalidArgumentError, Option as Flag, type Command } from 'commander'

import { formatValue, parseValue } from '../runtime/option-values.ts'
import { options, type Option, type Reader } from '../runtime/options.ts'
import type { Settings, SettingSources } from '../runtime/settings.ts'

const rows = Object.entries(options) as [keyof Settings, Option][]

const placeholders = {
  duration: '<duration>',
  integer: '<number>',
  bytes: '<bytes>',
} as const

/** Adds the flag of every setting that one of the readers uses. */
export function addSettingFlags(command: Command, readers: readonly Reader[]): Command {
  for (const [, option] of rows) {
    const { flag } = option
    if (flag === undefined || !option.usedBy.some((reader) => readers.includes(reader))) continue
    command.addOption(
      new Flag(`--${flag} ${placeholderOf(option)}`, describe(option))
        .argParser((text) => checked(option, text))
        .helpGroup('Settings:'),
    )
  }
  return command.addHelpText(
    'after',
    '\nA setting is taken from its flag, else the configuration file, else the environment, else its default.',
  )
}

function placeholderOf(option: Option): string {
  if (option.kind === 'choice') return `<${option.choices.join('|')}>`
  return option.kind === 'text' ? `<${option.placeholder}>` : placeholders[option.kind]
}

/** Refuses a wrong value before anything is loaded. */
function checked(option: Option, text: string): string {
  const parsed = parseValue(option, text)
  if ('value' in parsed) return text
  throw new InvalidArgumentError(`It takes ${parsed.allowed}.`)
}

/** The text of the setting flags that were given. */
export function settingFlags(given: Readonly<Record<string, unknown>>): NonNullable<SettingSources['flags']> {
  const texts = rows.flatMap(([name, { flag }]) => {
    const value = flag === undefined ? undefined : given[attributeOf(flag)]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return Object.fromEntries(texts)
}

function describe(option: Option): string {
  const value = formatValue(option, option.default)
  return `${option.meaning} (default: ${value === '' ? 'none' : value}, environment: ${option.env})`
}

/** The name under which commander keeps a flag: `--batch-size` as `batchSize`. */
function attributeOf(flag: string): string {
  return flag.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}
