import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'

import { execa } from 'execa'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

// What is measured is no matter here, only that the programs still run: figures need a machine of their own.
test('the benchmark runs, on few rows', { timeout: 120_000 }, async () => {
  const args = ['--only', 'drain,wide', '--rows', '300', '--rounds', '1']
  const { stdout, stderr, exitCode } = await execa(process.execPath, ['bench/main.ts', ...args], {
    cwd: root,
    env: { BENCH_SPACE: `bench${randomBytes(4).toString('hex')}` },
    reject: false,
  })
  expect(exitCode, stderr).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    drain: { rows: 300, ratio: expect.any(Number) },
    wide: { ratio: expect.any(Number) },
  })
})
