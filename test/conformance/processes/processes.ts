import { expect } from 'vitest'

import type { CaptureMode } from '../../../src/capture/modes.ts'
import { Program } from '../../process/support/program.ts'
import type { TestSpace } from '../../support/services.ts'

type Environment = Readonly<Record<string, string>>

const folder = 'test/conformance/processes'

/** The processes of one test, each of which is killed at the latest when the test is over. */
export class Processes {
  readonly #space: TestSpace
  readonly #mode: CaptureMode
  readonly #programs: Program[] = []

  /** @param mode - who watches, unless the environment of a process says otherwise */
  constructor(space: TestSpace, mode: CaptureMode) {
    this.#space = space
    this.#mode = mode
  }

  /** Starts `redstream COMMAND`. */
  command(command: string, env: Environment = {}): Program {
    const args = [...command.split(' '), '--config', `${folder}/redstream.config.ts`]
    return this.#run(`redstream ${command}`, 'bin/redstream.js', args, env)
  }

  /** Starts `redstream COMMAND` and waits until its workers run. */
  async workers(command: string, env: Environment = {}): Promise<Program> {
    const program = this.command(command, env)
    await program.logged('workers are running')
    return program
  }

  /** Starts the application with one of its scenarios. */
  application(scenario: string, env: Environment = {}): Program {
    return this.#run(`the application (${scenario})`, `${folder}/application.ts`, [scenario], env)
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()))
  }

  #run(name: string, file: string, args: readonly string[], env: Environment): Program {
    const { databaseUrl, redisUrl, elasticsearchUrl, namespace } = this.#space
    const program = new Program(name, file, args, {
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      ELASTICSEARCH_URL: elasticsearchUrl,
      TEST_SPACE: namespace,
      TEST_CAPTURE: this.#mode,
      ...env,
    })
    this.#programs.push(program)
    return program
  }
}

/** Waits until a process has ended, which it must have done well. */
export async function done(program: Program): Promise<void> {
  const exit = await program.exit
  expect(
    exit,
    `${program.name}: ${program.output.join('\n')} ${JSON.stringify(program.log.slice(-3))}`,
  ).toMatchObject({ code: 0 })
}

/** Asks a process to end, and waits for it. */
export async function stop(program: Program): Promise<void> {
  program.signal('SIGTERM')
  await done(program)
}
