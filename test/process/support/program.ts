import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { execa } from 'execa'
import { vi } from 'vitest'

/** A line that a worker logged. */
export interface LoggedLine {
  readonly level: string
  readonly msg: string
  readonly [fact: string]: unknown
}

/** How a process ended. */
export interface Exit {
  readonly code: number | undefined
  readonly signal: string | undefined
}

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** A process that a test has started. It is killed when the process of the tests ends, whatever the reason. */
export class Program {
  readonly name: string
  readonly pid: number
  readonly exit: Promise<Exit>
  /** Lines on stdout. */
  readonly output: string[] = []
  /** Lines on stderr that are JSON. */
  readonly log: LoggedLine[] = []
  readonly #child: { kill(signal: NodeJS.Signals): boolean }
  readonly #stderr: string[] = []
  #ended: Exit | undefined

  /** Runs a file of the project with Node. */
  constructor(name: string, file: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.name = name
    const child = execa(process.execPath, [file, ...args], {
      cwd: root,
      env: { ...env },
      stdin: 'ignore',
      buffer: false,
      reject: false,
      killSignal: 'SIGKILL',
      forceKillAfterDelay: false,
    })
    this.#child = child
    if (child.pid === undefined) throw new Error(`${name} could not be started`)
    this.pid = child.pid
    createInterface({ input: child.stdout }).on('line', (line) => this.output.push(line))
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.#stderr.push(line)
      if (line.startsWith('{')) this.log.push(JSON.parse(line) as LoggedLine)
    })
    this.exit = child.then(({ exitCode, signal }) => {
      this.#ended = { code: exitCode, signal }
      return this.#ended
    })
  }

  /** Waits until it has logged a line whose message contains `part`. */
  async logged(part: string): Promise<LoggedLine> {
    const find = (): LoggedLine | undefined => this.log.find(({ msg }) => msg.includes(part))
    await this.until(() => find() !== undefined, `has not logged "${part}"`)
    return find()!
  }

  /** Waits until something is true that this process brings about; fails with what it said, at once when it ends. */
  async until(condition: () => boolean | Promise<boolean>, complaint: string): Promise<void> {
    let fulfilled = false
    let cause: unknown
    await vi
      .waitFor(
        async () => {
          const ended = this.hasEnded
          fulfilled = await condition()
          if (!fulfilled && !ended) throw new Error('not yet')
        },
        { timeout: patienceMs, interval: 5 },
      )
      .catch((error: unknown) => {
        cause = error
      })
    if (fulfilled) return
    throw new Error(`${this.name} ${complaint}. It said:\n${this.#stderr.join('\n')}`, { cause })
  }

  /** Sends a signal, unless it has ended. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Ends it with SIGKILL, unless it has ended by itself. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exit
  }

  /** Stops it with SIGSTOP and waits until it stands still. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP')
    await vi.waitFor(
      async () => {
        const state = await processState(this.pid)
        if (!state.startsWith('T')) throw new Error(`${this.name} is in state ${state}`)
      },
      { timeout: patienceMs, interval: 5 },
    )
  }

  /** Lets it go on. */
  thaw(): void {
    this.signal('SIGCONT')
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined
  }
}

/** "T" for a process that stands still: from /proc on Linux (`ps` is missing in small images), else from `ps`. */
async function processState(pid: number): Promise<string> {
  if (process.platform !== 'linux') return (await execa('ps', ['-o', 'state=', '-p', String(pid)])).stdout
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2)
}

/** How long a test waits for something that must happen. */
export const patienceMs = 40_000

// Tests that start many processes one after the other take long on a machine that is busy; each step has its patience.
vi.setConfig({ testTimeout: 4 * patienceMs })

/** Waits until something is true. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  complaint: () => string,
): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await condition())) throw new Error(complaint())
    },
    { timeout: patienceMs, interval: 5 },
  )
}
