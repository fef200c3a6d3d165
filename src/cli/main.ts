import { createLogger } from '../runtime/pino-logger.ts'
import { createProgram } from './program.ts'
import { reportError } from './report-error.ts'

/**
 * Runs a command of the command line.
 *
 * @param argv - as in `process.argv`: program, script, arguments
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage or configuration
 */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0
  const program = createProgram((code) => {
    exitCode = code
  })
  process.on('unhandledRejection', endBroken)
  process.on('uncaughtException', endBroken)
  try {
    await program.parseAsync(argv)
    return exitCode
  } catch (error) {
    return reportError(error, { withStack: program.opts()['logLevel'] === 'debug' })
  } finally {
    process.off('unhandledRejection', endBroken)
    process.off('uncaughtException', endBroken)
  }
}

/** After an error that nobody handles, nothing can be relied on; what was in flight is taken over by others. */
function endBroken(error: unknown): void {
  const stack = error instanceof Error ? error.stack : undefined
  createLogger({ level: 'error' }).error(
    { err: error, stack },
    'an error that nobody handled ends this process',
  )
  process.exit(1)
}
