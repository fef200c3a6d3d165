import { spawn, type ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

/**
 * Ends the processes of the torture when the torture itself is killed: a small process that holds their ids, and whose
 * input ends with this process. They cannot watch their parent themselves while they are stopped by SIGSTOP.
 */
export class Undertaker {
  readonly #process: ChildProcess

  constructor() {
    const script = fileURLToPath(new URL('undertaker-process.ts', import.meta.url))
    this.#process = spawn(process.execPath, [script], {
      stdio: ['pipe', 'ignore', 'inherit'],
      detached: true,
    })
    // It does not keep this process alive.
    this.#process.unref()
    ;(this.#process.stdin as Socket).unref()
    // Without it a crash would leave processes behind, so the torture does not go on.
    this.#process.once('error', (error) => {
      throw error
    })
  }

  watch(pid: number): void {
    this.#tell(`+${pid}`)
  }

  forget(pid: number): void {
    this.#tell(`-${pid}`)
  }

  #tell(line: string): void {
    this.#process.stdin?.write(`${line}\n`)
  }
}
