import { fileURLToPath } from 'node:url'
import path from 'node:path'

import { RedstreamError, isRedstreamError } from '../errors.ts'
import { redactSecrets } from './secrets.ts'

/**
 * Turns whatever a configuration file or something that it imports has thrown into one message with the place in the
 * user's code.
 *
 * @param name - the configuration file, as the user wrote it
 */
export function describeLoadError(error: unknown, name: string): RedstreamError {
  if (isRedstreamError(error)) return error
  const message = error instanceof Error ? firstLine(error.message) || error.name : String(error)
  const place = error instanceof Error ? placeOf(error) : undefined
  const at = place === undefined ? '' : ` (${path.relative(process.cwd(), place)})`
  return new RedstreamError('CONFIG', redactSecrets(`${name} cannot be loaded: ${message}${at}`), {
    cause: error,
  })
}

/** The innermost place in a stack that is neither inside Node, nor in an installed package, nor ours. */
function placeOf(error: Error): string | undefined {
  for (const line of error.stack?.split('\n') ?? []) {
    // A frame ends in "file:line:column)"; a syntax error of Node begins with "file:line".
    const match = /(?:^|[ (])((?:file:\/\/)?(?:\/|[A-Za-z]:[\\/])[^()]*?):(\d+)(?::\d+)?\)?$/.exec(line)
    if (match === null) continue
    const file = match[1]!.startsWith('file:') ? fileURLToPath(match[1]!) : match[1]!
    if (!isForeign(file)) return `${file}:${match[2]}`
  }
  // Node tells who wanted a module that is missing, without a line.
  const { requireStack } = error as { requireStack?: readonly string[] }
  return requireStack?.find((file) => !isForeign(file))
}

// dist and src: this folder's parent.
const ours = path.dirname(import.meta.dirname) + path.sep

function isForeign(file: string): boolean {
  return file.startsWith(ours) || file.split(/[\\/]/).includes('node_modules')
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!.trim()
}
