import { appendFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Child } from './child.ts'
import { Undertaker } from './undertaker.ts'

/** The kinds of process under torture. */
export type Role =
  | 'writer'
  | 'stranger'
  | 'consumer'
  | 'delayer'
  | 'trimmer'
  | 'relay'
  | 'follower'
  | 'auditor'

/** What the crew needs to know of each role. */
export interface CrewOptions {
  readonly folder: string
  readonly env: (role?: Role) => NodeJS.ProcessEnv
  /** The command of the given life, the first is 1, of a process. */
  readonly command: (role: Role, number: number, life: number) => readonly string[]
}

const startWithinMs = 60_000
const stopWithinMs = 30_000

/** The processes of the torture: those that end are started again, as a supervisor would, until they are dismissed. */
export class Crew {
  /** Processes that ended though nobody had told them to. */
  readonly problems: string[] = []
  readonly #options: CrewOptions
  readonly #undertaker = new Undertaker()
  readonly #posts = new Map<string, { role: Role; dismissed: boolean; child: Child; ended: Promise<void> }>()

  constructor(options: CrewOptions) {
    this.#options = options
  }

  /** Starts `count` processes of a role. */
  hire(role: Role, count: number): void {
    for (let number = 1; number <= count; number++) {
      const post = { role, dismissed: false, child: this.#start(role, number, 1), ended: Promise.resolve() }
      post.ended = this.#keepAlive(post, number)
      this.#posts.set(`${role} ${number}`, post)
    }
  }

  /** Whether there are, or shall be, processes of a role. */
  has(role: Role): boolean {
    return [...this.#posts.values()].some((post) => post.role === role && !post.dismissed)
  }

  /** Waits until every process is at work. */
  async ready(signal: AbortSignal): Promise<void> {
    const end = performance.now() + startWithinMs
    const late = (): string[] => [...this.#posts].flatMap(([name, { child }]) => (child.hasRun ? [] : [name]))
    while (late().length > 0) {
      signal.throwIfAborted()
      if (performance.now() > end)
        throw new Error(`${late().join(', ')} did not start within ${startWithinMs} ms`)
      await sleep(50)
    }
  }

  /** The processes of a role that are at work, those that stand still included. */
  of(role: Role): Child[] {
    const children = [...this.#posts.values()].flatMap((post) => (post.role === role ? [post.child] : []))
    return children.filter((child) => child.alive && child.hasRun)
  }

  /** Lets everybody go on who stands still. */
  resumeAll(): void {
    for (const { child } of this.#posts.values()) child.resume()
  }

  /** Ends the processes of some roles for good; `how` says how each one goes. */
  async dismiss(roles: readonly Role[], how: (child: Child) => void): Promise<void> {
    const posts = [...this.#posts.values()].filter(({ role }) => roles.includes(role))
    for (const post of posts) {
      post.dismissed = true
      how(post.child)
    }
    const late = setTimeout(() => {
      for (const { child } of posts.filter((post) => post.child.alive)) {
        this.problems.push(`${child.name} did not stop within ${stopWithinMs} ms`)
        child.kill()
      }
    }, stopWithinMs)
    await Promise.all(posts.map(({ ended }) => ended))
    clearTimeout(late)
  }

  /** Runs a command of the same kind to its end. */
  async run(name: string, command: readonly string[]): Promise<void> {
    const logFile = this.#logFile(name)
    const child = new Child({ name, command, env: this.#options.env(), logFile }, this.#undertaker)
    const { code, signal } = await child.exit
    if (code !== 0) throw new Error(`${name} ended with ${signal ?? code}; its output is in ${logFile}`)
  }

  #start(role: Role, number: number, life: number): Child {
    const { env, command } = this.#options
    const name = `${role}-${number}`
    const logFile = this.#logFile(`${name}.${life}`)
    return new Child(
      { name, command: command(role, number, life), env: env(role), logFile },
      this.#undertaker,
    )
  }

  async #keepAlive(post: { role: Role; dismissed: boolean; child: Child }, number: number): Promise<void> {
    for (let life = 2; ; life++) {
      const { code, signal } = await post.child.exit
      // A worker that cannot reach its servers when it starts says so and goes: that is no problem of ours.
      const failed = !post.child.wasEnded && post.child.hasRun
      if (failed)
        this.problems.push(`${post.child.name} (life ${life - 1}) ended by itself with ${signal ?? code}`)
      if (post.dismissed) return
      await sleep(failed || !post.child.wasEnded ? 500 : 100)
      if (post.dismissed) return
      post.child = this.#start(post.role, number, life)
    }
  }

  #logFile(name: string): string {
    const file = path.join(this.#options.folder, `${name}.log`)
    appendFileSync(file, '')
    return file
  }
}
