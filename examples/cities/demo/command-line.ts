import { fileURLToPath } from 'node:url'

import { execa } from 'execa'

const program = fileURLToPath(new URL('../../../bin/redstream.js', import.meta.url))
const config = fileURLToPath(new URL('../redstream.config.ts', import.meta.url))

/** How `redstream` is started with these arguments and the demo's configuration. */
export function commandLine(args: readonly string[]): { file: string; args: string[] } {
  return { file: process.execPath, args: [program, ...args, '--config', config] }
}

/**
 * Runs a command of `redstream` to its end and returns what it printed.
 *
 * @throws Error with the command's own message when it fails
 */
export async function redstream(args: readonly string[], signal: AbortSignal): Promise<string> {
  const { file, args: all } = commandLine(args)
  const { exitCode, stdout, stderr } = await execa(file, all, { reject: false, cancelSignal: signal })
  signal.throwIfAborted()
  if (exitCode === 0) return stdout
  throw new Error(`\`redstream ${args.join(' ')}\` failed with exit code ${exitCode}:\n${stderr}`)
}
