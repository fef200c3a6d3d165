import { fileURLToPath } from 'node:url'

import { execa } from 'execa'
import { expect, test } from 'vitest'

import { captureModes } from '../../src/capture/modes.ts'
import type { Report } from './outcome/report.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

// `npm run torture` is the long form of it, with other seeds.
test.each(captureModes)(
  'a short torture of %s: nothing is lost, nothing stale',
  { timeout: 300_000 },
  async (mode) => {
    const args = [
      '--seconds',
      '12',
      '--seed',
      '7',
      '--writers',
      '2',
      '--consumers',
      '2',
      '--capture',
      mode,
      '--json',
    ]
    const { stdout, stderr, exitCode } = await execa(process.execPath, ['test/torture/main.ts', ...args], {
      cwd: root,
      reject: false,
    })
    expect(stdout, stderr).toMatch(/^{/)
    const report = JSON.parse(stdout) as Report
    expect(report, stderr).toMatchObject({
      missing: 0,
      stale: 0,
      orphaned: 0,
      unheard: 0,
      left: {},
      problems: [],
    })
    expect(exitCode).toBe(0)
    // It was no stroll.
    expect(report.faults).toMatchObject({
      'writers killed': expect.any(Number),
      'consumers paused': expect.any(Number),
      'database sessions cut': expect.any(Number),
    })
    expect(report.writes.ends['killed']).toBeGreaterThan(0)
    expect(report.healed['entries taken over']).toBeGreaterThan(0)
  },
)

test('wrong usage ends with exit code 2', async () => {
  const { stderr, exitCode } = await execa(process.execPath, ['test/torture/main.ts', '--seconds', 'many'], {
    cwd: root,
    reject: false,
  })
  expect(exitCode).toBe(2)
  expect(stderr).toContain('--seconds')
})
