import { CommanderError } from 'commander'

import { isRedstreamError, type ErrorCode } from '../errors.ts'
import { redactSecrets } from '../runtime/secrets.ts'

const wrongUse: readonly ErrorCode[] = ['CONFIG', 'USAGE', 'ENTITY']

/** 2 for wrong usage or configuration, 1 for everything else that failed; 0 when only a help text was asked for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  return isRedstreamError(error) && wrongUse.includes(error.code) ? 2 : 1
}

/** Prints one clear message on stderr, unless commander has done so, and returns the exit code. */
export function reportError(error: unknown, { withStack = false } = {}): number {
  if (!(error instanceof CommanderError)) {
    const stack = withStack && error instanceof Error ? `\n${stackOf(error)}` : ''
    process.stderr.write(`redstream: ${redactSecrets(messageOf(error) + stack)}\n`)
  }
  return exitCodeOf(error)
}

/** What to print of an error; some errors of Node (several refused addresses) have a code and no message. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as { code?: unknown }
  return error.message || (typeof code === 'string' ? code : error.name)
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : ''
  return (error.stack ?? '') + cause
}
