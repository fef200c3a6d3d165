import { EntitySchema } from 'typeorm'
import { expect, it } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { indexNamed } from '../../support/shapes.ts'
import { witness } from './witness.ts'

/** Names that the functions use themselves, that PL/pgSQL has, and that need quotes. */
const oddNames = [
  'found',
  'new',
  'old',
  'tg_op',
  'missing',
  'inserted',
  'deleted',
  'r',
  'o',
  'n',
  'q',
  'k0',
  'op',
  'chunk',
  'Mixed Case',
  `quo"te's`,
  'back\\slash',
]

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
const table = quoted('Odd "Table" $redstream$')
const keyColumn = quoted('The "Key"')

class Odd {
  k!: string
}
Indexed({ index: indexNamed('odd') })(Odd)
const odd = new EntitySchema<Odd>({
  name: 'Odd',
  target: Odd,
  tableName: 'Odd "Table" $redstream$',
  columns: {
    k: { name: 'The "Key"', type: 'text', primary: true },
    ...Object.fromEntries(
      oddNames.map((name, index) => [`p${index}`, { name, type: 'text' as const, nullable: true }]),
    ),
  },
})

it('does with columns and tables of any name', async () => {
  const columns = oddNames.map((name) => `${quoted(name)} text`).join(', ')
  const w = await witness([odd], {
    tables: ({ manager }) =>
      manager.query(`CREATE TABLE ${table} (${keyColumn} text PRIMARY KEY, ${columns})`),
  })
  const told = async (): Promise<unknown[]> => (await w.told()).map(({ kind, key }) => [kind, key])
  const key = { k: `it's "1"\\` }
  try {
    await w.sql(`INSERT INTO ${table} (${keyColumn}) VALUES ($1)`, [key.k])
    expect(await told()).toEqual([['insert', key]])
    for (const name of oddNames) {
      await w.sql(`UPDATE ${table} SET ${quoted(name)} = 'b'`)
      expect(await told()).toEqual([['update', key]])
    }
    await w.sql(`TRUNCATE ${table}`)
    expect(await told()).toEqual([['delete', key]])
    await w.sql(`ALTER TABLE ${table} DROP COLUMN found, DROP COLUMN missing, DROP COLUMN q`)
    await w.sql(`INSERT INTO ${table} (${keyColumn}) VALUES ($1)`, [key.k])
    await w.sql(`UPDATE ${table} SET o = o`)
    expect(await told()).toEqual([
      ['insert', key],
      ['update', key],
    ])
  } finally {
    await w.dispose()
  }
})

class Priced {
  id!: number
}
Indexed({ index: indexNamed('priced') })(Priced)
const priced = new EntitySchema<Priced & { stored: number; virtual: number }>({
  name: 'Priced',
  target: Priced,
  tableName: 'priced',
  columns: {
    id: { type: 'integer', primary: true },
    stored: { type: 'integer', nullable: true },
    virtual: { type: 'integer', nullable: true },
  },
})

// Such columns are there from PostgreSQL 18 on.
it('tells of every update where a watched column is computed when it is read', async () => {
  const w = await witness([priced], {
    tables: ({ manager }) =>
      manager.query(
        `CREATE TABLE priced (id integer PRIMARY KEY, net integer, tax integer,
           stored integer GENERATED ALWAYS AS (net * 2) STORED,
           virtual integer GENERATED ALWAYS AS (tax * 2) VIRTUAL)`,
      ),
  })
  try {
    await w.sql('INSERT INTO priced (id, net, tax) VALUES (1, 1, 1), (2, 1, 1)')
    await w.entries()
    for (const column of ['tax', 'net']) {
      await w.sql(`UPDATE priced SET ${column} = 5 WHERE id = 1`)
      expect((await w.told()).map(({ kind, key }) => [kind, key])).toEqual([['update', { id: 1 }]])
    }
  } finally {
    await w.dispose()
  }
})
