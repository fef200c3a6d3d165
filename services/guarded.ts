import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import type {
  GuardMessage,
  GuardOptions,
  GuardRequest,
  GuardTask,
  RunResult,
  ServerCommand,
} from './guard-protocol.ts'
import { processTable, processTree, signalProcess } from './processes.ts'

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** How the server ended, when it did. */
export interface ServerExit {
  readonly code: number | null
  readonly signal: string | null
}

/**
 * This program's end of a guard (`guard.ts`). It does not keep the program alive: a program that comes to its end
 * takes its servers with it.
 */
export class Guard {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  readonly #gone: Promise<void>
  #nextId = 1
  #folder = ''
  #serverPid: number | undefined
  #serverExit: ServerExit | undefined

  private constructor(options: GuardOptions) {
    const script = fileURLToPath(new URL('guard.ts', import.meta.url))
    this.#child = fork(script, [JSON.stringify(options)], {
      // Not the caller's flags: an inspector or a test runner's loader has no business in the guard.
      execArgv: [],
      cwd: path.parse(script).root,
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#child.on('message', (message) => this.#receive(message as GuardMessage))
    this.#gone = new Promise((resolve) => {
      this.#child.once('exit', () => {
        this.#lost('its guard process has ended')
        resolve()
      })
      this.#child.once('error', (error) => this.#lost(error.message))
    })
  }

  /** Starts a guard with an empty data folder. */
  static async open(options: GuardOptions): Promise<Guard> {
    const guard = new Guard(options)
    await guard.#answered(0)
    guard.#child.unref()
    guard.#child.channel?.unref()
    return guard
  }

  /** The folder of the server's data, removed by `close` and when this program ends. */
  get folder(): string {
    return this.#folder
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** The leader of the server's process group; undefined before the first start. */
  get serverPid(): number | undefined {
    return this.#serverPid
  }

  /** How the server that was started last has ended; undefined while it runs. */
  get serverExit(): ServerExit | undefined {
    return this.#serverExit
  }

  async run(command: ServerCommand, input?: string): Promise<RunResult> {
    return (await this.#ask({ task: 'run', command, ...(input === undefined ? {} : { input }) })) as RunResult
  }

  async start(command: ServerCommand): Promise<number> {
    this.#serverExit = undefined
    this.#serverPid = (await this.#ask({ task: 'start', command })) as number
    return this.#serverPid
  }

  async end(signal: NodeJS.Signals, graceMs = 20_000): Promise<void> {
    await this.#ask({ task: 'end', signal, graceMs })
  }

  /** Ends the server, removes its folder, and resolves when the guard is gone too. May be called again. */
  async close(): Promise<void> {
    if (this.#child.connected && this.#child.exitCode === null) {
      this.#child.ref()
      this.#child.send({ id: this.#nextId++, task: 'close' } satisfies GuardRequest, () => undefined)
    }
    await this.#gone
  }

  async #ask(task: GuardTask): Promise<unknown> {
    // The channel may still count as connected for a moment after the process has ended.
    if (this.#child.exitCode !== null || !this.#child.connected)
      throw new Error('the server has been stopped')
    const id = this.#nextId++
    this.#child.channel?.ref()
    this.#child.send({ ...task, id } satisfies GuardRequest)
    try {
      return await this.#answered(id)
    } finally {
      if (this.#waiting.size === 0) this.#child.channel?.unref()
    }
  }

  #answered(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #receive(message: GuardMessage): void {
    if (message.event === 'exited') {
      this.#serverExit = { code: message.code, signal: message.signal }
      return
    }
    const id = message.event === 'ready' ? 0 : message.id
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (message.event === 'failed') {
      waiting?.reject(new Error(message.message))
      return
    }
    if (message.event === 'ready') this.#folder = message.folder
    waiting?.resolve(message.event === 'ready' ? undefined : message.value)
  }

  /** The guard never goes before its server, unless it was killed itself: then the server must go as well. */
  #lost(reason: string): void {
    if (this.#serverPid !== undefined && this.#serverExit === undefined) {
      for (const pid of processTree(this.#serverPid, processTable())) signalProcess(pid, 'SIGKILL')
      this.#serverExit = { code: null, signal: 'SIGKILL' }
    }
    for (const waiting of this.#waiting.values()) waiting.reject(new Error(reason))
    this.#waiting.clear()
  }
}
