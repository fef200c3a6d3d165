import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'

import { execa } from 'execa'
import { afterEach, expect, test, vi } from 'vitest'

import { TransformCache } from '../../src/runtime/transform-cache.ts'
import { createProject, type Project } from '../support/project.ts'

const projects: Project[] = []

afterEach(() => {
  for (const project of projects.splice(0)) project.dispose()
})

function project(files: Record<string, string> = {}): Project {
  const made = createProject(files)
  projects.push(made)
  return made
}

function cacheOf(made: Project): { cache: TransformCache; folder: string } {
  return {
    cache: new TransformCache(made.file('config/redstream.ts')),
    folder: made.file('node_modules/.cache/redstream'),
  }
}

test('the same input is made once, by whichever process; another one replaces it', () => {
  const made = project()
  const { cache, folder } = cacheOf(made)
  const make = vi.fn(() => 'const a = "ä\u{1F600}"\n')
  expect(cache.get('a.ts', 'one', make)).toBe(make())
  make.mockClear()
  expect(cacheOf(made).cache.get('a.ts', 'one', make)).toBe('const a = "ä\u{1F600}"\n')
  expect(make).not.toHaveBeenCalled()
  expect(cache.get('a.ts', 'two', () => 'second')).toBe('second')
  expect(cache.get('b.ts', 'two', () => 'of b')).toBe('of b')
  expect(cache.get('a.ts', 'two', make)).toBe('second')
  expect(readdirSync(folder)).toHaveLength(2)
})

test('what is kept is for its owner only: the source may hold secrets', () => {
  const { cache, folder } = cacheOf(project())
  cache.get('a.ts', 'one', () => 'secret')
  const [file] = readdirSync(folder)
  expect(statSync(path.join(folder, file!)).mode & 0o777).toBe(0o600)
})

test('a file that is cut off or changed is made anew', () => {
  const { cache, folder } = cacheOf(project())
  cache.get('a.ts', 'one', () => 'const a = 1\n')
  const [name] = readdirSync(folder)
  const file = path.join(folder, name!)
  const whole = readFileSync(file, 'utf8')
  for (const damaged of ['', whole.slice(0, 20), whole.slice(0, -3), whole.replace('= 1', '= 2')]) {
    writeFileSync(file, damaged)
    expect(cache.get('a.ts', 'one', () => 'const a = 1\n')).toBe('const a = 1\n')
    expect(readFileSync(file, 'utf8')).toBe(whole)
  }
})

test('what is not worth keeping is made again', () => {
  const { cache, folder } = cacheOf(project())
  const make = vi.fn(() => 'failed')
  for (const _ of [1, 2]) expect(cache.get('a.ts', 'one', make, (code) => code !== 'failed')).toBe('failed')
  expect(make).toHaveBeenCalledTimes(2)
  expect(() => readdirSync(folder)).toThrow('ENOENT')
})

test('what others may have written, who may not write to node_modules, is not used', () => {
  const made = project()
  const { cache, folder } = cacheOf(made)
  const get = (text: string): string => cacheOf(made).cache.get('a.ts', 'one', () => text)
  cache.get('a.ts', 'one', () => 'first')
  const file = path.join(folder, readdirSync(folder)[0]!)
  chmodSync(file, 0o622)
  expect(get('second')).toBe('second')
  expect(get('third')).toBe('second')
  chmodSync(made.file('node_modules'), 0o777)
  chmodSync(file, 0o622)
  expect(get('fourth')).toBe('second')
})

test.runIf(process.getuid?.() === 0)('nor what belongs to another user, unless node_modules does too', () => {
  const made = project()
  const { cache, folder } = cacheOf(made)
  const get = (text: string): string => cacheOf(made).cache.get('a.ts', 'one', () => text)
  cache.get('a.ts', 'one', () => 'first')
  const file = path.join(folder, readdirSync(folder)[0]!)
  chownSync(file, 65_534, 65_534)
  expect(get('second')).toBe('second')
  chownSync(file, 65_534, 65_534)
  chownSync(made.file('node_modules'), 65_534, 65_534)
  expect(get('third')).toBe('second')
})

test('where nothing can be written, or there is no node_modules, nothing is kept and all works', () => {
  const made = project()
  // No permissions are asked for: root may write everywhere.
  mkdirSync(made.file('node_modules/.cache'))
  writeFileSync(made.file('node_modules/.cache/redstream'), 'in the way')
  const { cache } = cacheOf(made)
  const make = vi.fn(() => 'code')
  for (const cached of [cache, cache, new TransformCache('/redstream.config.ts')]) {
    expect(cached.get('a.ts', 'one', make)).toBe('code')
  }
  expect(make).toHaveBeenCalledTimes(3)
  expect(readFileSync(made.file('node_modules/.cache/redstream'), 'utf8')).toBe('in the way')
})

const load = `
  import { createRequire } from 'node:module'
  import { loadConfig } from './dist/runtime/config-loader.js'
  const { settings } = await loadConfig({ directory: process.argv[1], file: process.argv[2] })
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  process.stdout.write(JSON.stringify({
    delayMs: settings.delayMs,
    compiles: loaded.some((file) => file.endsWith('babel.cjs')),
  }))`

interface Start {
  readonly file?: string
  readonly flags?: readonly string[]
}

async function started({ directory }: Project, { file, flags = [] }: Start = {}): Promise<unknown> {
  const env = { REDIS_URL: 'redis://localhost:6379', ELASTICSEARCH_URL: 'http://localhost:9200' }
  const given = file === undefined ? [directory] : [directory, file]
  const { stdout } = await execa(
    process.execPath,
    [...flags, '--input-type=module', '--eval', load, ...given],
    {
      env,
      cwd: path.join(import.meta.dirname, '../..'),
    },
  )
  return JSON.parse(stdout)
}

test('a second start does without the compiler, until a source or what says how to read it changes', async () => {
  const delay = (text: string): string => `export const delay: string = '${text}'\n`
  const made = project({
    'package.json': '{ "type": "module" }',
    'src/delay.ts': delay('10s'),
    'config/redstream.ts': `
      import { defineConfig } from 'redstream'
      import { DataSource } from 'typeorm'
      import { delay } from '../src/delay.ts'
      export default defineConfig({ dataSource: () => new DataSource({ type: 'postgres' }), delay: delay as '10s' })`,
  })
  expect(await started(made)).toEqual({ delayMs: 10_000, compiles: true })
  expect(await started(made)).toEqual({ delayMs: 10_000, compiles: false })
  writeFileSync(made.file('src/delay.ts'), delay('20s'))
  expect(await started(made)).toEqual({ delayMs: 20_000, compiles: true })
  expect(await started(made)).toEqual({ delayMs: 20_000, compiles: false })
  writeFileSync(made.file('package.json'), '{ "type": "commonjs" }')
  expect(await started(made)).toEqual({ delayMs: 20_000, compiles: true })
  rmSync(made.file('node_modules'), { recursive: true })
  expect(await started(made)).toMatchObject({ delayMs: 20_000 })
})

const configWith = (before: string): string => `
  import { defineConfig } from 'redstream'
  import { DataSource } from 'typeorm'
  ${before}
  export default defineConfig({ dataSource: () => new DataSource({ type: 'postgres' }) })`

test('a source that could not be compiled for want of stack is compiled at the next start', async () => {
  const nested = `${'['.repeat(400)}1${']'.repeat(400)}`
  const made = project({
    'src/nested.ts': `export const nested = ${nested}\n`,
    'config/redstream.ts': configWith(`import '../src/nested.ts'`),
  })
  await expect(started(made, { flags: ['--stack-size=200'] })).rejects.toThrow(
    'Maximum call stack size exceeded',
  )
  expect(await started(made)).toMatchObject({ compiles: true })
  expect(await started(made)).toMatchObject({ compiles: false })
})

test('a CommonJS module is compiled once, whether it is imported or required', async () => {
  const made = project({
    'config/redstream.ts': configWith(''),
    'config/other.ts': `export { default } from './redstream.ts'`,
  })
  const start = (file: string): Promise<unknown> => started(made, { file })
  await start('config/redstream.ts')
  await start('config/other.ts')
  expect(await start('config/redstream.ts')).toMatchObject({ compiles: false })
  expect(await start('config/other.ts')).toMatchObject({ compiles: false })
})
