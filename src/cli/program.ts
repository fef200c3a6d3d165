import { readFileSync } from 'node:fs'

import { Command, Option as Flag } from 'commander'

import { logLevels } from '../runtime/pino-logger.ts'
import { addAudit } from './commands/audit.ts'
import { addDeadLetters } from './commands/dead-letters.ts'
import { addExplain } from './commands/explain.ts'
import { addHealth } from './commands/health.ts'
import { addInit } from './commands/init.ts'
import { addProgress } from './commands/progress.ts'
import { addReindex } from './commands/reindex.ts'
import { addRollback } from './commands/rollback.ts'
import { addStatus } from './commands/status.ts'
import { addUninstall } from './commands/uninstall.ts'
import { addVerify } from './commands/verify.ts'
import { addWhy } from './commands/why.ts'
import { addWorkers } from './commands/workers.ts'
import type { Finish } from './finish.ts'

/**
 * The command line with all its commands. Nothing here ends the process: what commander would end it for is thrown as
 * a CommanderError, after it was printed.
 */
export function createProgram(finish: Finish): Command {
  const program = new Command('redstream')
    .description(
      'Keeps Elasticsearch in step with the database of a TypeORM application, through Redis Streams.',
    )
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'redstream: ')),
    })
    .exitOverride()
    .option('--config <file>', 'configuration file (default: config/redstream.ts, .js or .mjs)')
    .addOption(
      new Flag('--log-level <level>', 'least important level that is logged, on stderr')
        .choices(logLevels)
        .env('REDSTREAM_LOG_LEVEL')
        .default('info'),
    )
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 wrong usage or configuration.')
  addWorkers(program, finish)
  addInit(program, finish)
  addReindex(program, finish)
  addProgress(program, finish)
  addRollback(program, finish)
  addStatus(program, finish)
  addHealth(program, finish)
  addVerify(program, finish)
  addWhy(program, finish)
  addAudit(program, finish)
  addDeadLetters(program, finish)
  addExplain(program, finish)
  addUninstall(program, finish)
  return program
}

function version(): string {
  // From src/cli and from dist/cli alike.
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
