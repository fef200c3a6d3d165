/**
 * Makes the pages in docs/reference from the tables in src/runtime.
 *
 * Run: node scripts/reference.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

import { metrics, secondsBuckets, type MetricRow } from '../src/runtime/metrics-table.ts'
import { allowedValues, formatValue } from '../src/runtime/option-values.ts'
import { options, type Option } from '../src/runtime/options.ts'

const folder = path.join(import.meta.dirname, '../docs/reference')

/** The generated pages: what each must hold, by its file. */
export function referencePages(): Record<string, string> {
  return {
    [path.join(folder, 'options.md')]: optionsReference(),
    [path.join(folder, 'metrics.md')]: metricsReference(),
  }
}

/** The page about every setting, made from the table of options. */
function optionsReference(): string {
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

/** The page about every metric, made from the table of metrics. */
function metricsReference(): string {
  const rows: MetricRow[] = Object.values(metrics)
  const ofType = (wanted: MetricRow['type'][]): string =>
    rows
      .filter(({ type }) => wanted.includes(type))
      .map(metricRow)
      .join('\n')
  return `# Metrics

<!-- Made by scripts/reference.ts from src/runtime/metrics-table.ts: change it there. -->

A worker process with \`--http\` shows these on \`/metrics\`, in Prometheus' text format.
[config/prometheus.yml](../../config/prometheus.yml) collects them, [config/alerts.yml](../../config/alerts.yml) has
alerts, [config/grafana.json](../../config/grafana.json) is a dashboard.

## What a process did

Add them up over the processes: \`sum by (stream) (rate(redstream_documents_total[5m]))\`.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
${ofType(['counter', 'histogram'])}

The buckets of the histogram end at ${secondsBuckets.join(', ')} seconds.

## How things are

The gauges of streams and workers are read from Redis at each scrape, and every process shows the same, all of them
whichever streams it serves: \`max by (stream, lane) (redstream_stream_lag_seconds)\`. Those of the bulk window are the
process's own.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
${ofType(['gauge'])}

## Labels

\`stream\` is the name of a stream, \`group\` that of a consumer group (\`index\` writes to Elasticsearch), \`lane\`
\`main\` or \`bulk\`, \`kind\` \`consumer\`, \`delayer\` or \`trimmer\`.
`
}

function metricRow({ name, type, labels, meaning }: MetricRow): string {
  return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${meaning} |`
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
  mkdirSync(folder, { recursive: true })
  for (const [file, page] of Object.entries(referencePages())) writeFileSync(file, page)
}
