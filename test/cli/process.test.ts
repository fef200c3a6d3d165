import path from 'node:path'
import type { Readable } from 'node:stream'

import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createProject, type Project } from '../support/project.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

const root = path.join(import.meta.dirname, '../..')
const program = path.join(root, 'bin/redstream.js')

const source = (file: string): string => JSON.stringify(path.join(root, 'src', file))

/** Runs the built command line in a project. */
function redstream(project: Project, args: string[], env: Record<string, string> = {}) {
  return execa(process.execPath, [program, ...args], {
    cwd: project.directory,
    env,
    reject: false,
    forceKillAfterDelay: false,
  })
}

/** Waits until a running process has written a text to stderr. */
function written(child: Promise<unknown> & { readonly stderr: Readable }, text: string): Promise<void> {
  let seen = ''
  return new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      seen += String(chunk)
      if (seen.includes(text)) resolve()
    })
    void child.then(() => reject(new Error(`the process ended without "${text}": ${seen}`)))
  })
}

describe('wrong usage and configuration', () => {
  let project: Project
  beforeAll(() => {
    project = createProject({
      'broken.ts': `export default {\n  dataSource: ,\n}`,
      'unknown.ts': `export default { dealy: '5m' }`,
      'loose.ts': `
        setImmediate(() => void Promise.reject(new Error('nobody waits for postgres://app:s3cret@db/app')))
        export default { dataSource: () => new Promise(() => setInterval(() => undefined, 1000)) }`,
      'unreachable.ts': `
        import { DataSource } from 'typeorm'
        const url = 'postgres://app:s3cret@127.0.0.1:1/app'
        const dataSource = new DataSource({ type: 'postgres', url, entities: [] })
        const redis = 'redis://app:s3cret@127.0.0.1:1'
        export default { dataSource, redis, elasticsearch: 'http://127.0.0.1:1' }`,
    })
  })
  afterAll(() => project.dispose())

  it.each([
    [['rn'], "redstream: unknown command 'rn'\n(Did you mean run?)"],
    [['run', '--delya', '5m'], "redstream: unknown option '--delya'\n(Did you mean --delay?)"],
    [
      ['run', '--delay', '5x'],
      "redstream: option '--delay <duration>' argument '5x' is invalid. It takes a number of",
    ],
    [['run', '--log-level', 'loud'], "redstream: option '--log-level <level>' argument 'loud' is invalid."],
    [['status', 'extra'], "redstream: too many arguments for 'status'"],
    [['status', '--watch', '--json'], 'redstream: --watch and --json cannot be used together'],
    [['status', '--watch'], 'redstream: --watch needs a terminal; use --json'],
    [['run'], 'redstream: there is no configuration: looked for config/redstream.ts,'],
    [['status', '--json', '--config', 'nowhere.ts'], 'redstream: there is no configuration: no file '],
    [['init', '--config', 'broken.ts'], 'redstream: broken.ts:2:15: Unexpected token'],
    [
      ['run', '--config', 'unknown.ts'],
      'redstream: unknown key "dealy" in unknown.ts: did you mean "delay"?',
    ],
    [[], 'Usage: redstream [options] [command]'],
  ])('redstream %j exits with 2', async (args, message) => {
    const { exitCode, stdout, stderr } = await redstream(project, args)
    expect(stderr).toContain(message)
    expect(stderr).not.toMatch(/^ {4}at /m)
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  })

  it('names the variable that a wrong value came from', async () => {
    const { exitCode, stderr } = await redstream(project, ['run', '--config', 'unreachable.ts'], {
      REDSTREAM_BATCH_SIZE: 'many',
    })
    expect(stderr).toBe(
      'redstream: REDSTREAM_BATCH_SIZE="many" in the environment is not allowed: it takes a whole number from 1 to 10000',
    )
    expect(exitCode).toBe(2)
  })

  it('exits with 1 and no secret when a server does not answer', async () => {
    const { exitCode, stdout, stderr } = await redstream(project, ['status', '--config', 'unreachable.ts'])
    expect(stderr).toMatch(/^redstream: .*127\.0\.0\.1:1/)
    expect(stderr).not.toContain('s3cret')
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
  })

  it('shows the stack with --log-level debug only', async () => {
    const { stderr } = await redstream(project, [
      'status',
      '--config',
      'unreachable.ts',
      '--log-level',
      'debug',
    ])
    expect(stderr).toMatch(/^ {4}at /m)
    expect(stderr).not.toContain('s3cret')
  })

  it('logs an error that nobody handles and exits with 1', async () => {
    const { exitCode, stderr } = await redstream(project, ['run', '--config', 'loose.ts'])
    const line = JSON.parse(stderr) as { level: string; err: { message: string } }
    expect(line).toMatchObject({ level: 'error', err: { message: 'nobody waits for postgres://***@db/app' } })
    expect(exitCode).toBe(1)
  })

  it('prints its version and its help on stdout, with 0', async () => {
    const version = await redstream(project, ['--version'])
    expect(version).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+/),
    })
    const help = await redstream(project, ['help', 'run'])
    expect(help).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringContaining('Examples:') })
  })
})

describe('signals', () => {
  let project: Project
  beforeAll(() => {
    project = createProject({
      'package.json': '{ "type": "module" }',
      // A worker that takes its time to finish: for ever, or until its input is closed.
      'worker.ts': `
        import { supervise } from ${source('cli/supervise.ts')}
        import { untilSignalled } from ${source('cli/signals.ts')}
        import { createLogger } from ${source('runtime/pino-logger.ts')}
        const logger = createLogger({ level: 'info' })
        const run = (signal: AbortSignal) => new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => process.stdin.once('end', resolve).resume())
          logger.info({}, 'working')
          setInterval(() => undefined, 1000)
        })
        const worker = { kind: 'consumer', name: 'cities', run } as const
        const good = await untilSignalled(
          (signal) => supervise([worker], signal, logger),
          (name) => logger.info({}, name + ' received'))
        process.exit(good ? 0 : 5)`,
    })
  })
  afterAll(() => project.dispose())

  const start = () =>
    execa(process.execPath, ['worker.ts'], { cwd: project.directory, reject: false, stdin: 'pipe' })

  it.each(['SIGTERM', 'SIGINT'] as const)('%s waits for what is in flight', async (signal) => {
    const child = start()
    await written(child, 'working')
    child.kill(signal)
    await written(child, `${signal} received`)
    child.stdin.end()
    expect(await child).toMatchObject({ exitCode: 0 })
  })

  it('takes what npm passes on once more for the same signal', async () => {
    const child = start()
    await written(child, 'working')
    child.kill('SIGINT')
    child.kill('SIGINT')
    await written(child, 'SIGINT received')
    child.stdin.end()
    expect(await child).toMatchObject({ exitCode: 0 })
  })

  it('a second signal ends the process at once with exit code 1', async () => {
    const child = start()
    await written(child, 'working')
    child.kill('SIGTERM')
    await written(child, 'SIGTERM received')
    child.kill('SIGINT')
    expect(await child).toMatchObject({ exitCode: 1 })
  })
})

describe('on the servers', () => {
  let space: TestSpace
  let project: Project
  beforeAll(async () => {
    space = await testSpace()
    project = createProject({
      'src/city.ts': `
        import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'
        import { Indexed } from 'redstream'

        @Indexed<City>({ index: '${space.indexPrefix}cities' })
        @Entity()
        export class City {
          @PrimaryGeneratedColumn() id!: number
          @Column() name!: string
        }`,
      'config/redstream.ts': `
        import { defineConfig } from 'redstream'
        import { DataSource } from 'typeorm'
        import { City } from '../src/city'

        const options = ${JSON.stringify(space.dataSourceOptions(undefined))} as const
        const dataSource = new DataSource({ ...options, entities: [City], synchronize: true })
        export default defineConfig({ dataSource, namespace: '${space.namespace}', trimInterval: '100ms' })`,
    })
  })
  afterAll(async () => {
    project.dispose()
    await space.dispose()
  })

  it('init, run, status and SIGTERM', async () => {
    const name = `${space.indexPrefix}cities`
    const created = await redstream(project, ['init', '--json'])
    expect(created).toMatchObject({ exitCode: 0, stderr: '' })
    expect(JSON.parse(created.stdout)).toMatchObject([{ name, action: 'created' }])
    const again = await redstream(project, ['init'])
    expect(again).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(`^unchanged  ${name} -> ${name}-`),
    })

    const unknown = await redstream(project, ['consumer', '--stream', 'nowhere'])
    expect(unknown).toMatchObject({ exitCode: 2, stdout: '', stderr: expect.stringContaining(`"nowhere"`) })

    const child = redstream(project, ['run', '--log-level', 'info'])
    await written(child, 'workers are running')
    await expect
      .poll(
        async () => {
          const { stdout } = await redstream(project, ['status', '--json'])
          const { workers } = JSON.parse(stdout) as { workers: { kind: string; pid: number }[] }
          return workers.filter(({ pid }) => pid === child.pid).map(({ kind }) => kind)
        },
        { timeout: 30_000 },
      )
      .toEqual(expect.arrayContaining(['consumer', 'delayer', 'trimmer']))
    const status = await redstream(project, ['status'])
    expect(status).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringContaining(name) })

    child.kill('SIGTERM')
    const { exitCode, stdout, stderr } = await child
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' })
    const messages = stderr.split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg)
    expect(messages).toContain('SIGTERM: finishing the batches in flight; a second one ends at once')
    expect(messages.at(-1)).toBe('all workers have stopped')
  })
})
