import os from 'node:os'

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/services-setup.ts'],
    // Processes, not threads: tests send signals and change the environment.
    pool: 'forks',
    maxWorkers: Math.max(1, Math.min(4, os.availableParallelism())),
    // Conditions are waited for, however slow the machine is; the default of 1 s is a guess.
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
  },
})
