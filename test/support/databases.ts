import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'

import { createConnection } from 'mysql2/promise'
import type { DataSourceOptions } from 'typeorm'
import type { TestContext } from 'vitest'

import type { TestSpace } from './services.ts'

// By hand: the version that TypeORM would look for has no binaries for the newest Node.
const betterSqlite3: unknown = createRequire(import.meta.url)('better-sqlite3-13')

/** The drivers of TypeORM that are tried. `mysql` speaks to the same MariaDB, and uses nothing that MySQL lacks. */
export const drivers = ['postgres', 'mariadb', 'mysql', 'better-sqlite3'] as const
export type Driver = (typeof drivers)[number]

/** An empty database of one test. */
export interface TestDatabase {
  /** For a DataSource; several may be open at once. */
  options(entities: DataSourceOptions['entities']): DataSourceOptions
  dispose(): Promise<void>
}

/** Skips a test, with the reason in the open, where the server of a driver cannot be had. */
export function skipWithout(driver: Driver, context: TestContext): void {
  const reason = process.env['MARIADB_MISSING']
  if (needsMariadb(driver) && reason !== undefined) context.skip(reason)
}

/** Whether a driver's server is there. */
export function isAvailable(driver: Driver): boolean {
  return !needsMariadb(driver) || process.env['MARIADB_MISSING'] === undefined
}

export async function testDatabase(driver: Driver, space: TestSpace): Promise<TestDatabase> {
  if (driver === 'postgres') return postgres(space)
  return driver === 'better-sqlite3' ? sqlite(space) : mariadb(driver, space)
}

function needsMariadb(driver: Driver): boolean {
  return driver === 'mariadb' || driver === 'mysql'
}

function postgres(space: TestSpace): TestDatabase {
  return {
    options: (entities) => space.dataSourceOptions(entities as never),
    // The schema goes with the space.
    dispose: () => Promise.resolve(),
  }
}

async function mariadb(type: 'mariadb' | 'mysql', { schema }: TestSpace): Promise<TestDatabase> {
  const server = process.env['MARIADB_URL'] ?? process.env['MYSQL_URL']
  if (server === undefined) throw new Error('MARIADB_URL is not set: see test/support/mariadb-setup.ts')
  const sql = async (text: string): Promise<void> => {
    const connection = await createConnection(server)
    try {
      await connection.query(text)
    } finally {
      await connection.end()
    }
  }
  await sql(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`)
  return {
    options: (entities) => ({
      type,
      url: Object.assign(new URL(server), { pathname: `/${schema}` }).href,
      ...(entities === undefined ? {} : { entities }),
    }),
    dispose: () => sql(`DROP DATABASE ${schema}`),
  }
}

function sqlite({ schema }: TestSpace): TestDatabase {
  const database = path.join(os.tmpdir(), `${schema}.sqlite`)
  return {
    options: (entities) => ({
      type: 'better-sqlite3',
      database,
      driver: betterSqlite3,
      // Readers need not wait for a transaction that is open in this same process.
      enableWAL: true,
      ...(entities === undefined ? {} : { entities }),
    }),
    dispose: () => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(database + suffix, { force: true })
      return Promise.resolve()
    },
  }
}
