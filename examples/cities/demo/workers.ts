import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import { Guard, type ServerExit } from '../../../services/guarded.ts'
import { lastLines } from '../../../services/server-handle.ts'
import { commandLine } from './command-line.ts'

/** A worker process of the demo. */
export interface WorkerProcess {
  /** The arguments of `redstream`. */
  readonly command: string
  readonly pid: number
  readonly logFile: string
}

const exitWithinMs = 2_000

interface Running extends WorkerProcess {
  readonly guard: Guard
}

/**
 * Worker processes, started through the real command line. Each stands behind a guard, as the servers do, so none
 * outlives the demo, whatever ends it.
 */
export class Workers {
  readonly #environment: Readonly<Record<string, string>>
  readonly #running: Running[] = []

  constructor(environment: Readonly<Record<string, string>>) {
    this.#environment = environment
  }

  get processes(): readonly WorkerProcess[] {
    return this.#running
  }

  /** Starts `redstream` with these arguments. */
  async start(...args: string[]): Promise<void> {
    const guard = await Guard.open({
      folderPrefix: path.join(os.tmpdir(), `redstream-demo-${args[0]}-`),
      endSignal: 'SIGTERM',
    })
    const logFile = path.join(guard.folder, 'server.log')
    try {
      const pid = await guard.start({ ...commandLine(args), env: this.#environment })
      this.#running.push({ command: args.join(' '), pid, logFile, guard })
    } catch (error) {
      await guard.close()
      throw error
    }
  }

  /** @throws Error with the end of its log when a worker has ended by itself */
  check(): void {
    for (const { command, guard, logFile } of this.#running) {
      if (guard.serverExit === undefined) continue
      const log = readFileSync(logFile, 'utf8')
      throw new Error(`\`redstream ${command}\` ended with ${describe(guard.serverExit)}. ${lastLines(log)}`)
    }
  }

  /** Lets every worker finish what it has begun; returns a sentence for each that did not end in order. */
  async stop(): Promise<string[]> {
    const complaints = await Promise.all(this.#running.splice(0).map(stopWorker))
    return complaints.flat()
  }
}

async function stopWorker({ command, guard }: Running): Promise<string[]> {
  try {
    // Who ended by itself was reported then.
    if (guard.serverExit !== undefined) return []
    await guard.end('SIGTERM')
    const exit = await exitOf(guard)
    return exit?.code === 0 ? [] : [`\`redstream ${command}\` ended with ${describe(exit)}`]
  } finally {
    await guard.close()
  }
}

/** The guard sees a process vanish a moment before it is told how it ended. */
async function exitOf(guard: Guard): Promise<ServerExit | undefined> {
  const end = performance.now() + exitWithinMs
  while (guard.serverExit === undefined && performance.now() < end) await pause(10)
  return guard.serverExit
}

function describe(exit: ServerExit | undefined): string {
  return exit?.signal ?? `exit code ${exit?.code ?? 'unknown'}`
}
