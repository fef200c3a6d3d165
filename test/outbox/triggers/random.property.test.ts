import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { shop } from './entities.ts'
import { witness, type Witness } from './witness.ts'

let w: Witness
beforeAll(async () => {
  w = await witness(shop)
  // So that rows may swap their keys.
  const [found] = await w.dataSource.query<{ name: string }[]>(
    `SELECT quote_ident(conname) AS name FROM pg_constraint WHERE conrelid = 'cities'::regclass AND contype = 'p'`,
  )
  await w.sql(`ALTER TABLE cities DROP CONSTRAINT ${found!.name} CASCADE`)
  await w.sql('ALTER TABLE cities ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED')
})
afterAll(() => w.dispose())

const id = fc.integer({ min: 1, max: 8 })
const code = fc.constantFrom('AA', 'BB', 'CC')
const text = fc.constantFrom('x', 'y', 'z')
const sql = (parts: TemplateStringsArray, ...values: fc.Arbitrary<string | number>[]): fc.Arbitrary<string> =>
  fc.tuple(...values).map((given) =>
    parts.reduce((all, part, index) => {
      const value = given[index - 1]
      return all + (typeof value === 'number' ? value : `'${value}'`) + part
    }),
  )

const statement = fc.oneof(
  sql`INSERT INTO cities (id, name, country_code) SELECT i, ${text}, ${code} FROM generate_series(${id}, 8) i WHERE NOT EXISTS (SELECT FROM cities c WHERE c.id = i)`,
  sql`UPDATE cities SET name = ${text} WHERE id >= ${id}`,
  sql`UPDATE cities SET name = ${text}, country_code = ${code} WHERE id <= ${id}`,
  sql`UPDATE cities SET country_code = NULL WHERE country_code = ${code}`,
  fc.constant('UPDATE cities SET id = 9 - id WHERE id <= 8'),
  sql`UPDATE cities SET id = id % 8 + 1, country_code = ${code} WHERE id <= 8`,
  sql`UPDATE cities SET id = id + 100 WHERE id = ${id} AND NOT EXISTS (SELECT FROM cities WHERE id > 100)`,
  fc.constant(
    'UPDATE cities SET id = id % 100 WHERE id > 100 AND NOT EXISTS (SELECT FROM cities c WHERE c.id = cities.id % 100)',
  ),
  sql`DELETE FROM cities WHERE id = ${id}`,
  sql`DELETE FROM countries WHERE code = ${code}`,
  sql`UPDATE countries SET code = 'DD' WHERE code = ${code} AND NOT EXISTS (SELECT FROM countries c WHERE c.code = 'DD')`,
  fc.constant(`DELETE FROM countries WHERE code = 'DD'`),
  fc.constant('TRUNCATE cities CASCADE'),
)

type Rows = Map<number, { name: string; country_code: string | null }>

async function rows(): Promise<Rows> {
  const found = await w.dataSource.query<{ id: number; name: string; country_code: string | null }[]>(
    'SELECT id, name, country_code FROM cities',
  )
  return new Map(found.map(({ id: key, ...rest }) => [key, rest]))
}

it('tells of exactly the rows that a statement changes, with the foreign keys that they had', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(statement, { minLength: 5, maxLength: 25 }), async (statements) => {
      await w.sql('TRUNCATE cities, countries CASCADE')
      for (const one of statements) {
        await w.sql(`INSERT INTO countries (code) VALUES ('AA'), ('BB'), ('CC') ON CONFLICT DO NOTHING`)
        await w.entries()
        const before = await rows()
        await w.sql(one)
        const after = await rows()
        const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
          (key) => JSON.stringify(before.get(key)) !== JSON.stringify(after.get(key)),
        )
        // A truncated table is told of row by row.
        const told = (await w.told()).filter(({ table }) => table === 'cities')
        const keys = new Set(told.map(({ key }) => (key as { id: number }).id))
        expect(
          [...keys].toSorted((a, b) => a - b),
          one,
        ).toEqual(changed.toSorted((a, b) => a - b))
        for (const change of told) {
          if (change.kind === 'insert') continue
          const key = (change.key as { id: number }).id
          expect(change.before, one).toEqual({ country_code: before.get(key)?.country_code })
        }
      }
    }),
    { numRuns: 30 },
  )
}, 60_000)
