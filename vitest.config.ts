import os from 'node:os'

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/services-setup.ts'],
    // Processes, not threads: tests send signals and change the environment.
    pool: 'forks',
    maxWorkers: Math.max(1, Math.min(4, os.availableParallelism())),
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
  },
})
