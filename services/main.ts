/** `npm run services`: starts the three servers, prints their addresses, and stops them in the end. */
import { Command } from 'commander'

import { isRedstreamError } from '../src/errors.ts'
import { startServices } from './services.ts'

const PARENT_CHECK_MS = 250

const program = new Command('services')
  .description(
    'Starts PostgreSQL, Redis and Elasticsearch, prints their addresses and then "ready", and stops them on SIGINT or ' +
      'SIGTERM, or when the program that started this one is gone. Servers that DATABASE_URL, REDIS_URL and ' +
      'ELASTICSEARCH_URL name are used as they are; the others come from docker compose or are downloaded once.',
  )
  .option('--json', 'print one JSON document in place of the lines')
  .option('--stay', 'stay when the program that started this one is gone')
  .parse()
const { json, stay } = program.opts<{ json?: boolean; stay?: boolean }>()

const parent = process.ppid
const progress = (line: string): void => void process.stderr.write(`${line}\n`)
let finish = (): void => process.exit(1)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => finish())
if (stay !== true) {
  setInterval(() => {
    if (process.ppid !== parent) finish()
  }, PARENT_CHECK_MS).unref()
}

try {
  const services = await startServices({ progress })
  const keepAlive = setInterval(() => undefined, 60_000)
  let stopping: Promise<void> | undefined
  finish = () => {
    stopping ??= services.stop().then(() => clearInterval(keepAlive))
    stopping.catch((error: unknown) => fail(error))
  }
  const { databaseUrl, redisUrl, elasticsearchUrl, source } = services
  if (json === true) {
    process.stdout.write(`${JSON.stringify({ databaseUrl, redisUrl, elasticsearchUrl, source })}\n`)
  } else {
    process.stdout.write(`DATABASE_URL=${databaseUrl}\nREDIS_URL=${redisUrl}\n`)
    process.stdout.write(`ELASTICSEARCH_URL=${elasticsearchUrl}\nready\n`)
  }
} catch (error) {
  fail(error)
}

function fail(error: unknown): void {
  const message = isRedstreamError(error)
    ? error.message
    : error instanceof Error
      ? error.stack
      : String(error)
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
