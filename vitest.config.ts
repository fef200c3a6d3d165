import os from 'node:os'

import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

const common: TestProjectInlineConfiguration['test'] = {
  // Processes, not threads: tests send signals and change the environment.
  pool: 'forks',
  // Conditions are waited for, however slow the machine is; the default of 1 s is a guess.
  expect: { poll: { timeout: 30_000 } },
  testTimeout: 60_000,
  hookTimeout: 120_000,
}

// What meets TypeORM's events, builders, metadata and rows. Processes of their own (the command line, the torture) would
// find TypeORM 1.x again, the rest does not know TypeORM, and how long a cascade takes is not the version's business.
const typeorm03 = {
  resolve: { alias: [{ find: /^typeorm$/, replacement: 'typeorm-0.3' }] },
  include: [
    'test/{capture,cascade,outbox,shapes,wal}/**/*.test.ts',
    'test/sync/{document,document-loader,indexing,loader-keys}.test.ts',
    'test/sync/projection/*.test.ts',
    'test/outbox/triggers/*.test.ts',
    'test/reindex/{places,reindex,slices}.test.ts',
    'test/verify/{cascade,why}.test.ts',
  ],
  exclude: ['test/cascade/lanes.test.ts'],
  drivers: ['test/drivers/{documents,outbox,writes}.test.ts'],
}
const drivers = ['test/drivers/**/*.test.ts']
const withMariadb = { ...common, globalSetup: ['test/support/mariadb-setup.ts'] }

export default defineConfig({
  test: {
    // Once for all projects.
    globalSetup: ['test/support/services-setup.ts'],
    maxWorkers: Math.max(1, Math.min(4, os.availableParallelism())),
    teardownTimeout: 60_000,
    projects: [
      { test: { ...common, name: 'typeorm 1', include: ['test/**/*.test.ts'], exclude: drivers } },
      { test: { ...withMariadb, name: 'drivers', include: drivers } },
      {
        test: { ...common, name: 'typeorm 0.3', include: typeorm03.include, exclude: typeorm03.exclude },
        resolve: typeorm03.resolve,
      },
      {
        test: { ...withMariadb, name: 'drivers, typeorm 0.3', include: typeorm03.drivers },
        resolve: typeorm03.resolve,
      },
    ],
  },
})
