import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

import { allowedValues, formatValue } from '../src/runtime/option-values.ts'
import { options, type Option } from '../src/runtime/options.ts'

/** Where {@link optionsReference} is kept. */
export const referenceFile = path.join(import.meta.dirname, '../docs/reference/options.md')

/** The page about every setting, made from the table of options. */
export function optionsReference(): string {
  const rows: Option[] = Object.values(options)
  return `# Settings

<!-- Made by scripts/reference.ts from src/runtime/options.ts: change it there. -->

A setting is taken from its flag, else the configuration file (\`config/redstream.ts\`), else the environment, else its
default. The application's side, \`Redstream.attach(dataSource, options)\`, takes the same keys as the file. An empty
environment variable counts as not given.

Durations are milliseconds or a text such as \`30s\`, \`5m\`, \`1h\`, \`2d\`. Sizes are bytes or a text such as \`512kb\`,
\`8mb\` (1 kb is 1,024 bytes).

| Key | Flag | Environment | Default | Used by |
|---|---|---|---|---|
${rows.map(tableRow).join('\n')}

Beside these, the file holds \`dataSource\` (required), \`redis\` (else \`REDIS_URL\`) and \`elasticsearch\` (else
\`ELASTICSEARCH_URL\`). Every command takes \`--config FILE\` and \`--log-level LEVEL\` (else \`REDSTREAM_LOG_LEVEL\`):
\`debug\`, \`info\` (the default), \`warn\`, \`error\` or \`silent\`.

${rows.map(section).join('\n\n')}
`
}

function tableRow(option: Option): string {
  const flag = option.flag === undefined ? '' : `\`--${option.flag}\``
  const cells = [`[\`${option.key}\`](#${anchor(option)})`, flag, `\`${option.env}\``, shownDefault(option)]
  return `| ${[...cells, option.usedBy.join(', ')].join(' | ')} |`
}

function section(option: Option): string {
  const danger = option.danger === undefined ? '' : ` **Mind:** ${option.danger}`
  const shorthand =
    option.key === 'delay'
      ? " `delay: { after: '5m', requeue: 'orphaned' }` is the long form of `delay: '5m'`."
      : ''
  return `## ${option.key}\n\n${option.meaning}${danger}${shorthand}\n\nAllowed: ${allowedValues(option)}. Default: ${shownDefault(option)}.`
}

function shownDefault(option: Option): string {
  const text = formatValue(option, option.default)
  return text === '' ? 'none' : `\`${text}\``
}

/** The anchor that GitHub gives to the heading of an option. */
function anchor(option: Option): string {
  return option.key.toLowerCase().replaceAll('.', '')
}

if (import.meta.main) {
  mkdirSync(path.dirname(referenceFile), { recursive: true })
  writeFileSync(referenceFile, optionsReference())
}
