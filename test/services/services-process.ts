import { spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { expect } from 'vitest'

import { processTable, processTree } from '../../services/processes.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** `services/main.ts` as a process, its data folders in a folder of its own. */
export interface ServicesProcess {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  /** The exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>
  /** The names of the data folders that are there now. */
  readonly dataFolders: () => string[]
  /** It and everything below it: guards and servers. */
  readonly pids: () => number[]
  readonly cleanUp: () => Promise<void>
}

/** Starts it; `env` is added to this process's environment, an undefined value removes a variable. */
export function startMain(
  args: readonly string[],
  env: Record<string, string | undefined>,
  command: readonly string[] = [process.execPath, path.join(root, 'services/main.ts')],
): ServicesProcess {
  const temporary = mkdtempSync(path.join(os.tmpdir(), 'redstream-services-test-'))
  // As root the servers run as another user.
  chmodSync(temporary, 0o711 | 0o044)
  const child = spawn(command[0] ?? '', [...command.slice(1), ...args], {
    cwd: root,
    env: { ...process.env, ...env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (text.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()))
  return {
    child,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    exit: new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal ?? -1))),
    // Only folders with data: Node itself keeps its compile cache beside them.
    dataFolders: () => readdirSync(temporary).filter((name) => name.startsWith('redstream-')),
    pids: () => processTree(child.pid ?? -1, processTable()),
    cleanUp: () => rm(temporary, { recursive: true, force: true }),
  }
}

/** Waits until none of the processes runs and no data folder is left. */
export async function expectNothingLeft(services: ServicesProcess, pids: readonly number[]): Promise<void> {
  await expect
    .poll(() => processTable().filter((entry) => pids.includes(entry.pid)), { timeout: 30_000 })
    .toEqual([])
  await expect.poll(services.dataFolders, { timeout: 30_000 }).toEqual([])
}
