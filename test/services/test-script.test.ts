import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../scripts/test.ts', import.meta.url))

const config = `export default { test: { globals: true, globalSetup: ['setup.js'] } }`

const setUp = `
  import { appendFileSync } from 'node:fs'
  export default () => {
    appendFileSync('log', 'up ')
    return () => appendFileSync('log', 'down ')
  }`

/** Fails at its first run, and whenever the servers are not there, so to speak. */
const flaky = `
  import { appendFileSync, readFileSync } from 'node:fs'
  test('flaky', () => {
    const log = readFileSync('log', 'utf8')
    appendFileSync('log', 'run ')
    expect(log).toBe('up run ')
  })`

let project: string

beforeAll(async () => {
  project = await mkdtemp(path.join(tmpdir(), 'redstream-test-script-'))
})
afterAll(() => rm(project, { recursive: true }))

test('what has failed runs once more, while the servers are still there', async () => {
  const files = {
    'vitest.config.js': config,
    'setup.js': setUp,
    'flaky.test.js': flaky,
    'package.json': '{}',
  }
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(project, name), text)
  const { stdout, exitCode } = await execa(process.execPath, [script], { cwd: project, reject: false })
  expect(stdout.split('\n').slice(-2)).toEqual([
    expect.stringMatching(/^passed only at the second attempt: .*flaky\.test\.js > flaky$/),
    '1 passed, 0 failed',
  ])
  expect(exitCode).toBe(0)
  expect(await readFile(path.join(project, 'log'), 'utf8')).toBe('up run run down ')
})
