/** `npm run torture`: random writers, random kills and pauses of real processes, then the comparison. */
import { Command, InvalidArgumentError, Option } from 'commander'

import { captureModes } from '../../src/capture/modes.ts'
import { isRedstreamError } from '../../src/errors.ts'
import { formatDifference, formatReport, isGood } from './outcome/report.ts'
import { runTorture, type TortureOptions } from './run-torture.ts'
import { sabotages } from './sabotage/elasticsearch.ts'

type Options = Omit<TortureOptions, 'seed'> & { readonly seed?: number; readonly json?: boolean }

const shown = 5
const parentCheckMs = 500
/** For the servers to start, the wait for the end and the comparison. */
const longestBesideMs = 600_000

const program = new Command('torture')
  .description(
    'Lets applications write in every way that is safe against a crash, while processes are killed and paused, servers ' +
      'restarted and connections broken; then waits until all is done and compares every row with its document. ' +
      'PostgreSQL and Elasticsearch are those of DATABASE_URL and ELASTICSEARCH_URL, or started. Exit code 0: nothing is ' +
      'lost, nothing stale; 1: something is, or the torture failed; 2: wrong usage.',
  )
  .option('--seconds <number>', 'how long the applications write', wholeNumber(10), 60)
  .option(
    '--seed <number>',
    'decides what is written and what goes wrong (default: another one each time)',
    wholeNumber(0),
  )
  .option('--writers <number>', 'application processes', wholeNumber(1), 3)
  .option('--consumers <number>', 'consumer processes', wholeNumber(1), 3)
  .addOption(
    new Option('--capture <mode>', 'who tells which rows have changed')
      .choices(captureModes)
      .default('subscriber'),
  )
  .option('--json', 'print one JSON document')
  .addOption(new Option('--sabotage <name>').choices(Object.keys(sabotages)).hideHelp())
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()
const { json = false, seed = Date.now() % 1_000_000, ...others } = program.opts<Options>()
const options: TortureOptions = { seed, ...others }

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)))
}
// Whatever hangs: the processes are ended when this one is gone.
setTimeout(
  () => {
    process.stderr.write('torture: it did not come to its end in time\n')
    process.exit(1)
  },
  options.seconds * 1_000 + longestBesideMs,
).unref()
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) stop.abort(new Error('the program that started this one is gone'))
}, parentCheckMs).unref()

try {
  const { report, wrong } = await runTorture(
    options,
    (line) => process.stderr.write(`${line}\n`),
    stop.signal,
  )
  for (const difference of wrong.slice(0, shown)) process.stderr.write(`${formatDifference(difference)}\n`)
  if (wrong.length > 0) {
    const more = wrong.length > shown ? `${wrong.length - shown} more differences, and what` : 'What'
    process.stderr.write(`${more} led to each: differences.json in ${report.folder}\n`)
  }
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report))
  process.exitCode = isGood(report) ? 0 : 1
} catch (error) {
  const text = stop.signal.aborted ? (stop.signal.reason as Error).message : describe(error)
  process.stderr.write(`torture: ${text}\n`)
  process.exitCode = 1
}

function wholeNumber(min: number) {
  return (text: string): number => {
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= min) return value
    throw new InvalidArgumentError(`It takes a whole number from ${min}.`)
  }
}

function describe(error: unknown): string {
  if (isRedstreamError(error)) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
