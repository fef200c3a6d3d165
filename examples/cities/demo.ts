/** `npm run demo`: the main job on real data, told step by step. */
import { Command, InvalidArgumentError } from 'commander'

import { runDemo } from './demo/run-demo.ts'

const program = new Command('npm run demo --')
  .description(
    'Loads the cities of the world into PostgreSQL through TypeORM, while Redstream keeps Elasticsearch in step; ' +
      'searches, edits, kills an application, and in the end compares every row with its document.\n\n' +
      'The servers are those of DATABASE_URL, REDIS_URL and ELASTICSEARCH_URL, where the demo keeps to a schema, ' +
      'key prefix and index of its own and removes them in the end; those that are not set are started for it.',
  )
  .option('--keep', 'leave everything running in the end and print the addresses; Ctrl-C stops it')
  .option(
    '--cities <number>',
    'so many cities, at least 100, spread over the world (default: all)',
    atLeast100,
  )
  .addHelpText(
    'after',
    '\nThe last line says what was compared. Exit code: 0 no differences, 1 differences or failed.',
  )
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'demo: ')) })
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .parse()
const { keep = false, cities } = program.opts<{ keep?: boolean; cities?: number }>()

const exitCode = await runDemo({ keep, cities })
// Whatever is still open must not keep the process; the callback waits for stdout.
process.stdout.write('', () => process.exit(exitCode))

function atLeast100(text: string): number {
  if (!/^[1-9]\d{2,}$/.test(text)) throw new InvalidArgumentError('It takes a whole number from 100.')
  return Number(text)
}
