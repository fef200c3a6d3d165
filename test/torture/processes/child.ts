import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { Undertaker } from './undertaker.ts'

/** How a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** What to run. */
export interface ChildOptions {
  readonly name: string
  /** Path from the root of the project, and arguments. */
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly logFile: string
}

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** A process of Node that the torture started. Its output goes to a file, past this process. */
export class Child {
  readonly name: string
  readonly exit: Promise<Exit>
  /** When SIGSTOP was sent, while it stands still. */
  pausedSince: number | undefined
  readonly #process: ChildProcess
  readonly #logFile: string
  #hasRun = false
  #ended = false
  #expected = false

  constructor({ name, command, env, logFile }: ChildOptions, undertaker: Undertaker) {
    this.name = name
    this.#logFile = logFile
    const log = openSync(logFile, 'a')
    // In a group of its own: a Ctrl-C is for the torture alone, which then ends the others.
    const child = spawn(process.execPath, command, {
      cwd: root,
      env,
      stdio: ['ignore', log, log],
      detached: true,
    })
    closeSync(log)
    this.#process = child
    if (child.pid !== undefined) undertaker.watch(child.pid)
    this.exit = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => {
        this.#ended = true
        if (child.pid !== undefined) undertaker.forget(child.pid)
        resolve({ code, signal })
      })
    })
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#process.pid ?? 0
  }

  get alive(): boolean {
    return !this.#ended
  }

  /** True when somebody here has told it to end. */
  get wasEnded(): boolean {
    return this.#expected
  }

  /** True when it has said that it works. */
  get hasRun(): boolean {
    this.#hasRun ||= / (?:is|are) running/.test(readFileSync(this.#logFile, 'utf8'))
    return this.#hasRun
  }

  kill(): void {
    this.#end('SIGKILL')
  }

  /** Asks it to finish what it has begun and go. */
  stop(): void {
    this.resume()
    this.#end('SIGTERM')
  }

  pause(): void {
    if (this.#ended) return
    this.pausedSince = performance.now()
    this.#process.kill('SIGSTOP')
  }

  resume(): void {
    if (this.pausedSince === undefined) return
    this.pausedSince = undefined
    this.#process.kill('SIGCONT')
  }

  #end(signal: NodeJS.Signals): void {
    if (this.#ended) return
    this.#expected = true
    this.#process.kill(signal)
  }
}
