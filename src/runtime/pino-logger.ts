import { pino, type LoggerOptions } from 'pino'
import pretty from 'pino-pretty'

import type { Logger } from './logger.ts'
import { redactValue } from './secrets.ts'

/** The levels of `--log-level` and `REDSTREAM_LOG_LEVEL`, from much to nothing. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const

export type LogLevel = (typeof logLevels)[number]

/** How {@link createLogger} logs. */
export interface LoggerSettings {
  /** The least important level that is logged. */
  readonly level: LogLevel
  /** One JSON object a line, or text for people. Default: text when stderr is a terminal, else JSON. */
  readonly json?: boolean
}

/**
 * A logger that writes to stderr. Errors are logged with type, message, code and causes, and with their stack at level
 * `debug` only. Passwords and keys are taken out of every line.
 */
export function createLogger({ level, json = !process.stderr.isTTY }: LoggerSettings): Logger {
  // Synchronous, so that the last lines of a process that ends are not lost.
  const output = json
    ? pino.destination({ fd: 2, sync: true })
    : pretty({ destination: 2, sync: true, ...style })
  const serialize = (error: unknown): unknown => describeError(error, level === 'debug')
  const options: LoggerOptions = {
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: serialize, error: serialize },
  }
  // The line is read again rather than searched as it stands: its quotes and escapes must stay as they are.
  const write = (line: string): void =>
    void output.write(`${JSON.stringify(redactValue(JSON.parse(line)))}\n`)
  return pino(options, { write })
}

const style = {
  singleLine: true,
  colorize: process.env['NO_COLOR'] === undefined,
  translateTime: 'SYS:HH:MM:ss.l',
  ignore: 'pid,hostname',
}

interface ErrorFacts {
  type: string
  message: string
  code?: string | number
  cause?: unknown
  stack?: string
}

/** What a log line holds of an error. */
function describeError(error: unknown, withStack: boolean, depth = 0): ErrorFacts | string {
  if (!(error instanceof Error)) return String(error)
  const { code, cause, stack } = error as Error & { code?: unknown }
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    // A chain of causes may lead back to its start.
    ...(cause === undefined || depth > 4 ? {} : { cause: describeError(cause, withStack, depth + 1) }),
    ...(withStack && stack !== undefined ? { stack } : {}),
  }
}
