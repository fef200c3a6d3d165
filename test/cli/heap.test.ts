import { execFileSync } from 'node:child_process'

import { expect, test } from 'vitest'

const heap = new URL('../../src/cli/heap.ts', import.meta.url).href

/** MiB of the young generation after a while of allocating, in a process of its own. */
function youngMiB(before: string): number {
  const program = `
    import { getHeapSpaceStatistics } from 'node:v8'
    import { limitYoung } from '${heap}'
    ${before}
    for (let i = 0; i < 30; i++) Array.from({ length: 100_000 }, (_, k) => ({ k, text: 'x' + k }))
    console.log(getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size)`
  const args = ['--experimental-strip-types', '--no-warnings', '--input-type=module', '--eval', program]
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' })) / 1024 / 1024
}

test('the young generation has 4 MiB, and would be larger without the limit', () => {
  expect(youngMiB('limitYoung()')).toBe(4)
  expect(youngMiB('')).toBeGreaterThan(4)
})
