import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { root } from './services-process.ts'

/** A checkout with the real scripts and one local dependency, so that `npm ci` is quick and needs no network. */
let checkout: string

beforeEach(async () => {
  checkout = await mkdtemp(path.join(os.tmpdir(), 'redstream-set-up-test-'))
  await cp(path.join(root, 'scripts'), path.join(checkout, 'scripts'), { recursive: true })
  await depend('library')
  await write(
    'services/main.ts',
    'console.log(process.argv.slice(2).join(), process.version)\nprocess.exit(7)\n',
  )
})

afterEach(() => rm(checkout, { recursive: true }))

/** Makes these folders packages, and dependencies in package.json and package-lock.json. */
async function depend(...names: string[]): Promise<void> {
  const [version, dependencies] = ['1.0.0', Object.fromEntries(names.map((name) => [name, `file:${name}`]))]
  const packages: Record<string, object> = { '': { name: 'app', version, dependencies } }
  for (const name of names) {
    await write(`${name}/package.json`, JSON.stringify({ name, version }))
    packages[name] = { version }
    packages[`node_modules/${name}`] = { resolved: name, link: true }
  }
  await write('package.json', JSON.stringify({ name: 'app', version, type: 'module', dependencies }))
  await write('package-lock.json', JSON.stringify({ name: 'app', version, lockfileVersion: 3, packages }))
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(path.join(checkout, file)), { recursive: true })
  await writeFile(path.join(checkout, file), text)
}

interface Result {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(...args: string[]): Promise<Result> {
  const child = spawn(process.execPath, [path.join(checkout, 'scripts/run.mjs'), ...args])
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  return new Promise((resolve) => child.once('close', (exitCode) => resolve({ exitCode, ...output })))
}

test('installs once, passes arguments and the exit code, and keeps its own words on stderr', async () => {
  const first = await run('services', '--json', 'x')
  expect(first).toEqual({ exitCode: 7, stdout: `--json,x ${process.version}\n`, stderr: 'set-up: npm ci\n' })
  expect(await run('services')).toMatchObject({ stderr: '' })
})

test('installs again when the lock file has changed', async () => {
  await run('services')
  await depend('library', 'another')
  expect(await run('services')).toMatchObject({ exitCode: 7, stderr: 'set-up: npm ci\n' })
  expect(existsSync(path.join(checkout, 'node_modules/another/package.json'))).toBe(true)
  expect(await run('services')).toMatchObject({ stderr: '' })
})

test('of several at once one installs and the others wait; the lock of a dead process is broken', async () => {
  // No process has this number: the largest that Linux hands out is 2 ** 22.
  await write('.cache/set-up.lock', '99999999\n')
  const results = await Promise.all([run('services'), run('services'), run('services')])
  expect(results.map((result) => result.exitCode)).toEqual([7, 7, 7])
  expect(results.filter((result) => result.stderr.includes('npm ci'))).toHaveLength(1)
  expect(await readdir(path.join(checkout, '.cache'))).toEqual([])
})

test('a failed install is one clear message', async () => {
  await write('package.json', '{ "name": "app", "version": "1.0.0", "dependencies": { "unknown": "1.0.0" } }')
  const { exitCode, stderr } = await run('services')
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(
    /^set-up: npm ci\nnpm ci failed with exit code 1\. Check the network and npm's settings/,
  )
  expect(stderr).not.toContain('    at ')
  expect(existsSync(path.join(checkout, '.cache/set-up.lock'))).toBe(false)
})

test('an unknown task lists those that there are', async () => {
  const { exitCode, stderr } = await run('deom')
  expect(exitCode).toBe(2)
  expect(stderr).toContain('There is no task "deom".')
  expect(stderr).toContain('  demo ')
})

test('dist is built when it is stale, whole, and without files that have no source any more', async () => {
  await run('services')
  for (const name of ['typescript', '@typescript']) {
    await symlink(path.join(root, 'node_modules', name), path.join(checkout, 'node_modules', name))
  }
  await cp(path.join(root, 'tsconfig.build.json'), path.join(checkout, 'tsconfig.build.json'))
  await write(
    'tsconfig.json',
    '{ "compilerOptions": { "module": "NodeNext", "target": "ES2023", "types": [] } }',
  )
  await write('src/index.ts', 'export const answer: number = 42\n')
  await write('src/streams/scripts/publish.lua', 'return 1\n')
  await write('dist/old.js', '')

  const both = await Promise.all([run('build'), run('build')])
  expect(both.map((result) => result.exitCode)).toEqual([0, 0])
  expect(both.filter((result) => result.stderr.includes('building dist'))).toHaveLength(1)
  const files = ['index.d.ts', 'index.d.ts.map', 'index.js', 'index.js.map']
  expect((await readdir(path.join(checkout, 'dist'))).sort()).toEqual([...files, 'streams'])
  expect(await readFile(path.join(checkout, 'dist/streams/scripts/publish.lua'), 'utf8')).toBe('return 1\n')
  const map = JSON.parse(await readFile(path.join(checkout, 'dist/index.js.map'), 'utf8')) as {
    sources: string[]
  }
  expect(map.sources).toEqual(['../src/index.ts'])
  expect(await run('build')).toMatchObject({ exitCode: 0, stderr: '' })

  await rm(path.join(checkout, 'dist/index.js'))
  expect(await run('build')).toMatchObject({ exitCode: 0, stderr: 'set-up: building dist\n' })

  await write('src/index.ts', 'export const answer: number = "wrong"\n')
  const failed = await run('build')
  expect(failed.exitCode).toBe(1)
  expect(failed.stderr).toContain('dist could not be built, TypeScript says:\nsrc/index.ts')
  expect(await readFile(path.join(checkout, 'dist/index.js'), 'utf8')).toContain('42')
})
