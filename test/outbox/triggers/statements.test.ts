import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { Animal, Cat, Dog, shop } from './entities.ts'
import { witness, type Told, type Witness } from './witness.ts'

let w: Witness
beforeAll(async () => {
  w = await witness([...shop, Animal, Dog, Cat])
})
afterAll(() => w.dispose())

const fk = (value: string | null): object => ({ country_code: value })
const city = (id: number, kind: string, rest: object = {}): Told => ({
  table: 'cities',
  kind,
  key: { id },
  ...rest,
})
const still = (value: string | null): object => ({ before: fk(value), after: fk(value) })
const country = (code: string, kind: string): Told => ({ table: 'countries', kind, key: { code } })

beforeEach(async () => {
  await w.sql('TRUNCATE countries, cities, tags, city_tags, animals')
  await w.sql(`INSERT INTO countries (code, name) VALUES ('IT', 'Italy'), ('FR', 'France')`)
  await w.sql(`INSERT INTO tags (id) VALUES (1), (2)`)
  await w.sql(
    `INSERT INTO cities (id, name, country_code, main_tag, facts) VALUES (1, 'Rome', 'IT', 1, '{"a":1}'), (2, 'Paris', 'FR', NULL, NULL)`,
  )
  await w.sql('ALTER TABLE cities ADD COLUMN IF NOT EXISTS visits integer')
  await w.entries()
})

async function primaryKeyOf(table: string): Promise<string> {
  const [found] = await w.dataSource.query<{ name: string }[]>(
    `SELECT quote_ident(conname) AS name FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p'`,
    [table],
  )
  return found!.name
}

describe('plain statements', () => {
  it('tells of inserted rows', async () => {
    await w.sql(`INSERT INTO cities (id, name) VALUES (3, 'Nice'), (4, 'Lyon')`)
    expect(await w.told()).toEqual([city(3, 'insert'), city(4, 'insert')])
  })

  it('tells of deleted rows with their foreign keys', async () => {
    await w.sql('DELETE FROM cities')
    expect(await w.told()).toEqual([
      city(1, 'delete', { before: fk('IT') }),
      city(2, 'delete', { before: fk('FR') }),
    ])
  })

  it('tells of an updated row with the foreign keys before and after', async () => {
    await w.sql(`UPDATE cities SET country_code = 'FR' WHERE id = 1`)
    expect(await w.told()).toEqual([city(1, 'update', { before: fk('IT'), after: fk('FR') })])
    await w.sql('UPDATE cities SET country_code = NULL WHERE id = 1')
    expect(await w.told()).toEqual([city(1, 'update', { before: fk('FR'), after: fk(null) })])
  })

  it('tells of no row that an update leaves as it was, and of the others', async () => {
    await w.sql(`UPDATE cities SET name = 'Rome', facts = facts`)
    expect(await w.told()).toEqual([city(2, 'update', still('FR'))])
    await w.sql(`UPDATE cities SET name = name, facts = facts`)
    expect(await w.entries()).toEqual([])
  })

  it('tells nothing of columns that the entity does not have', async () => {
    await w.sql('UPDATE cities SET visits = 5')
    expect(await w.entries()).toEqual([])
  })

  it('sees a change of a column whose type has no equality', async () => {
    await w.sql(`UPDATE cities SET facts = '{"a":2}' WHERE id = 1`)
    expect(await w.told()).toEqual([city(1, 'update', still('IT'))])
  })

  it('writes nothing for a statement that finds no row', async () => {
    await w.sql('UPDATE cities SET name = $1 WHERE id = 99', ['x'])
    await w.sql('DELETE FROM cities WHERE id = 99')
    await w.sql('INSERT INTO cities (id) SELECT 9 WHERE false')
    expect(await w.entries()).toEqual([])
  })

  it('tells of a changed key as of one row that is gone and one that came', async () => {
    await w.sql('UPDATE cities SET id = 7 WHERE id = 1')
    expect(await w.told()).toEqual([
      city(1, 'delete', { before: fk('IT') }),
      city(7, 'insert', { after: fk('IT') }),
    ])
  })

  it('tells of rows that swap their keys as of updates of both', async () => {
    await w.sql(`ALTER TABLE animals DROP CONSTRAINT ${await primaryKeyOf('animals')}`)
    await w.sql('ALTER TABLE animals ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED')
    await w.sql(`INSERT INTO animals (id, kind) VALUES (1, 'dog'), (2, 'cat')`)
    await w.entries()
    await w.sql('UPDATE animals SET id = 3 - id')
    const animal = (id: number): Told => ({ table: 'animals', kind: 'update', key: { id } })
    expect(await w.told()).toEqual([animal(1), animal(2)])
  })

  it('writes many rows in few entries', async () => {
    await w.sql('INSERT INTO cities (id) SELECT generate_series(1000, 2700)')
    const entries = await w.entries()
    expect(entries).toHaveLength(4)
    await w.sql(`UPDATE cities SET name = 'x' WHERE id >= 1000`)
    const told = await w.told()
    expect(new Set(told.map(({ key }) => (key as { id: number }).id)).size).toBe(1_701)
  })
})

describe('other ways to write', () => {
  it('sees both sides of INSERT … ON CONFLICT', async () => {
    await w.sql(
      `INSERT INTO cities (id, name) VALUES (1, 'Roma'), (3, 'Nice') ON CONFLICT (id) DO UPDATE SET name = excluded.name`,
    )
    expect(await w.told()).toEqual([city(1, 'update', still('IT')), city(3, 'insert')])
    await w.sql(`INSERT INTO cities (id) VALUES (1) ON CONFLICT DO NOTHING`)
    expect(await w.entries()).toEqual([])
  })

  it('sees every action of MERGE', async () => {
    await w.sql(
      `MERGE INTO cities c USING (VALUES (1, 'Roma'), (2, 'x'), (3, 'Nice')) v (id, name) ON c.id = v.id
       WHEN MATCHED AND v.name = 'x' THEN DELETE
       WHEN MATCHED THEN UPDATE SET name = v.name
       WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.name)`,
    )
    expect(await w.told()).toEqual([
      city(1, 'update', still('IT')),
      city(2, 'delete', { before: fk('FR') }),
      city(3, 'insert'),
    ])
  })

  it('sees COPY', async () => {
    await w.sql(`COPY cities (id, name) FROM PROGRAM 'printf "11\\tNice\\n12\\tLyon\\n"'`)
    expect(await w.told()).toEqual([city(11, 'insert'), city(12, 'insert')])
  })

  it('sees statements inside of WITH, and functions', async () => {
    await w.sql(`WITH gone AS (DELETE FROM cities WHERE id = 1 RETURNING *)
      INSERT INTO cities (id, name) SELECT 5, name FROM gone`)
    await w.sql(`DO $$ BEGIN UPDATE cities SET name = 'x' WHERE id = 2; END $$`)
    expect(await w.told()).toEqual([
      city(1, 'delete', { before: fk('IT') }),
      city(2, 'update', still('FR')),
      city(5, 'insert'),
    ])
  })

  it('sees TRUNCATE, and what it truncates with it', async () => {
    await w.sql(`INSERT INTO city_tags VALUES (1, 2)`)
    await w.entries()
    await w.sql('TRUNCATE cities CASCADE')
    expect(await w.told()).toEqual([
      city(1, 'delete', { before: fk('IT') }),
      city(2, 'delete', { before: fk('FR') }),
      { table: 'city_tags', kind: 'delete', key: { citiesId: 1, tagsId: 2 } },
    ])
  })

  it('sees what the database deletes and changes by itself', async () => {
    await w.sql(`UPDATE countries SET code = 'IX' WHERE code = 'IT'`)
    expect(await w.told()).toEqual([
      city(1, 'update', { before: fk('IT'), after: fk('IX') }),
      country('IT', 'delete'),
      country('IX', 'insert'),
    ])
    await w.sql('DELETE FROM tags WHERE id = 1')
    expect(await w.told()).toEqual([
      city(1, 'update', still('IX')),
      { table: 'tags', kind: 'delete', key: { id: 1 } },
    ])
    await w.sql('DELETE FROM countries')
    expect(await w.told()).toEqual([
      city(1, 'delete', { before: fk('IX') }),
      city(2, 'delete', { before: fk('FR') }),
      country('FR', 'delete'),
      country('IX', 'delete'),
    ])
  })

  it('sees pairs of a many-to-many relation', async () => {
    await w.sql(`INSERT INTO city_tags VALUES (1, 1), (2, 1)`)
    await w.sql(`DELETE FROM city_tags WHERE "citiesId" = 2`)
    const pair = (citiesId: number, kind: string): Told => ({
      table: 'city_tags',
      kind,
      key: { citiesId, tagsId: 1 },
    })
    expect(await w.told()).toEqual([pair(1, 'insert'), pair(2, 'delete'), pair(2, 'insert')])
  })

  it('sees rows of every class of a table with inheritance', async () => {
    await w.sql(`INSERT INTO animals (id, kind) VALUES (1, 'dog'), (2, 'cat')`)
    await w.entries()
    await w.sql(`UPDATE animals SET lives = 8 WHERE id = 2`)
    const [change] = await w.changes()
    expect(change).toMatchObject({ kind: 'update', key: { id: 2 }, metadata: { name: 'Animal' } })
    const [messages] = w.watch.messages.byStream([change!]).values()
    expect(messages).toEqual([{ id: '2' }])
  })

  it('sees writes of sessions that switch triggers off for imports', async () => {
    await w.dataSource.transaction(async (manager) => {
      await manager.query(`SET LOCAL session_replication_role = replica`)
      await manager.query(`INSERT INTO cities (id) VALUES (21)`)
    })
    expect(await w.told()).toEqual([city(21, 'insert')])
  })
})

it('gives the relay messages with the foreign keys that a row has lost', async () => {
  await w.sql(`UPDATE cities SET country_code = 'FR' WHERE id = 1`)
  await w.sql('DELETE FROM cities WHERE id = 2')
  const byStream = [...w.watch.messages.byStream(await w.changes())]
  expect(byStream.map(([{ stream }, messages]) => [stream, messages])).toEqual([
    [
      `${w.space.schema}-cities`,
      [
        { id: '1', before: ['{"country_code":"IT"}'] },
        { id: '2', before: ['{"country_code":"FR"}'] },
      ],
    ],
  ])
})

describe('transactions', () => {
  it('tells nothing of what was rolled back, as a whole or to a savepoint', async () => {
    await w.dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO cities (id) VALUES (31)')
      await manager.query('SAVEPOINT before')
      await manager.query('INSERT INTO cities (id) VALUES (32)')
      await manager.query('ROLLBACK TO SAVEPOINT before')
    })
    expect(await w.told()).toEqual([city(31, 'insert')])
    const undone = w.dataSource.transaction(async (manager) => {
      await manager.query('DELETE FROM cities')
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await w.entries()).toEqual([])
  })

  it('tells nothing of a statement that a deferred constraint refuses at the commit', async () => {
    const refused = w.dataSource.transaction(async (manager) => {
      await manager.query('SET CONSTRAINTS ALL DEFERRED')
      await manager.query(`INSERT INTO cities (id, country_code) VALUES (41, 'XX')`)
    })
    await expect(refused).rejects.toThrow(/foreign key/)
    expect(await w.entries()).toEqual([])
  })

  it.each(['REPEATABLE READ', 'SERIALIZABLE'] as const)(
    'says that a TRUNCATE in %s removes rows that its transaction does not see',
    async (isolation) => {
      const queryRunner = w.dataSource.createQueryRunner()
      try {
        await queryRunner.startTransaction(isolation)
        await queryRunner.query('SELECT count(*) FROM tags')
        await w.sql('INSERT INTO tags (id) VALUES (51)')
        await w.entries()
        await queryRunner.query('TRUNCATE city_tags, tags CASCADE')
        await queryRunner.commitTransaction()
      } finally {
        await queryRunner.release()
      }
      await expect(w.told()).rejects.toThrow(
        'a TRUNCATE may have removed rows that its triggers could not see',
      )
    },
  )

  it('keeps each row of a statement that follows a large one in the same session', async () => {
    await w.sql('INSERT INTO cities (id) SELECT generate_series(5000, 5999)')
    await w.entries()
    // The plan of the function was made for one row.
    await w.dataSource.transaction(async (manager) => {
      await manager.query(`UPDATE cities SET name = 'a' WHERE id = 5000`)
      await manager.query(`UPDATE cities SET name = 'b' WHERE id >= 5000`)
    })
    expect(await w.told()).toHaveLength(1_001)
  })
})
