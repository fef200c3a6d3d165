import fc from 'fast-check'
import { EntitySchema, type ColumnType, type EntitySchemaColumnOptions } from 'typeorm'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { keyOf } from '../../../src/capture/row-key.ts'
import { Indexed } from '../../../src/indexed.ts'
import { indexNamed } from '../../support/shapes.ts'
import { witness, type Witness } from './witness.ts'

interface KeyType {
  readonly name: string
  /** The type of the column in the database. Default: that of TypeORM. */
  readonly sql?: string
  readonly column: Partial<EntitySchemaColumnOptions> & { type: ColumnType }
  /** Texts that PostgreSQL takes for the type. */
  readonly texts: fc.Arbitrary<string>
}

const text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 12 })
  .filter((value) => !value.includes('\0'))
const whole = (min: number, max: number): fc.Arbitrary<string> => fc.integer({ min, max }).map(String)
const date = fc
  .date({ min: new Date('0200-01-01'), max: new Date('9000-01-01'), noInvalidDate: true })
  .map((value) => value.toISOString())
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)

const types: KeyType[] = [
  { name: 'smallint', column: { type: 'smallint' }, texts: whole(-32_768, 32_767) },
  { name: 'integer', column: { type: 'integer' }, texts: whole(-2_147_483_648, 2_147_483_647) },
  {
    name: 'bigint',
    column: { type: 'bigint' },
    texts: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  },
  {
    name: 'numeric',
    column: { type: 'numeric' },
    texts: fc
      .tuple(whole(-99, 99), fc.constantFrom('', '.0', '.10', '.123456789012345678901234567890'))
      .map((parts) => parts.join('')),
  },
  { name: 'text', column: { type: 'text' }, texts: text },
  { name: 'varchar', column: { type: 'varchar', length: 20 }, sql: 'varchar(20)', texts: text },
  { name: 'char', column: { type: 'char', length: 20 }, sql: 'char(20)', texts: text },
  { name: 'citext', column: { type: 'citext' }, sql: 'public.citext', texts: text },
  { name: 'uuid', column: { type: 'uuid' }, texts: fc.uuid().map((value) => value.toUpperCase()) },
  { name: 'boolean', column: { type: 'boolean' }, texts: fc.constantFrom('t', 'f') },
  { name: 'date', column: { type: 'date' }, texts: date },
  { name: 'timestamp', column: { type: 'timestamp' }, texts: date },
  {
    name: 'timestamptz',
    column: { type: 'timestamptz' },
    texts: fc.oneof(date, fc.constantFrom('infinity', '-infinity')),
  },
  { name: 'time', column: { type: 'time' }, texts: date.map((value) => value.slice(11, 23)) },
  {
    name: 'bytea',
    column: { type: 'bytea' },
    texts: fc
      .uint8Array({ minLength: 1, maxLength: 12 })
      .map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
  },
  {
    name: 'real',
    column: { type: 'real' },
    texts: fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  },
  { name: 'double', column: { type: 'double precision' }, texts: number },
  { name: 'inet', column: { type: 'inet' }, texts: fc.ipV4() },
  { name: 'cidr', column: { type: 'cidr' }, texts: fc.ipV4().map((ip) => `${ip}/32`) },
  {
    name: 'bit',
    column: { type: 'bit', length: 3 },
    sql: 'bit(3)',
    texts: fc.constantFrom('000', '010', '111'),
  },
  { name: 'range', column: { type: 'int4range' }, texts: fc.nat(99).map((low) => `[${low},${low + 5}]`) },
  { name: 'enum', column: { type: 'text' }, sql: 'mood', texts: fc.constantFrom('sad', 'So, "so"') },
  { name: 'domain', column: { type: 'bigint' }, sql: 'amount', texts: whole(0, 1_000_000) },
  { name: 'domain_of_domain', column: { type: 'timestamptz' }, sql: 'moment', texts: date },
  {
    name: 'transformed',
    column: {
      type: 'integer',
      transformer: { from: (id: number) => `c-${id}`, to: (id?: string) => id && Number(id.slice(2)) },
    },
    sql: 'integer',
    texts: whole(0, 1_000_000),
  },
]

const schemas = types.map(({ name, column }) => {
  class Row {
    id!: unknown
    other!: unknown
  }
  Object.defineProperty(Row, 'name', { value: name })
  Indexed({ index: indexNamed(`${name}-rows`) })(Row)
  return new EntitySchema<Row>({
    name,
    target: Row,
    tableName: `${name}_rows`,
    columns: { id: { ...column, primary: true }, other: { type: 'integer', nullable: true } },
  })
})

let w: Witness
beforeAll(async () => {
  w = await witness(schemas, {
    tables: async (dataSource) => {
      await dataSource.query(`SELECT pg_advisory_lock(5551)`)
      await dataSource.query('CREATE EXTENSION IF NOT EXISTS citext SCHEMA public')
      await dataSource.query(`SELECT pg_advisory_unlock_all()`)
      await dataSource.query(`CREATE TYPE mood AS ENUM ('sad', 'So, "so"')`)
      await dataSource.query(`CREATE DOMAIN amount AS bigint CHECK (value >= 0)`)
      await dataSource.query(`CREATE DOMAIN moment AS timestamptz; CREATE DOMAIN moment2 AS moment`)
      for (const { name, sql, column } of types) {
        await dataSource.query(
          `CREATE TABLE ${name}_rows (id ${sql ?? String(column.type)} PRIMARY KEY, other integer)`,
        )
      }
    },
  })
})
afterAll(() => w.dispose())

/** What a session may have set that changes how values are written as texts. */
const oddSession = `SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata'; SET bytea_output = 'escape';
  SET extra_float_digits = -5; SET IntervalStyle = 'sql_standard'`

function sorted(keys: readonly (string | undefined)[]): string[] {
  return keys.map(String).toSorted((a, b) => (a < b ? -1 : 1))
}

it.each(types)(
  'tells the key of a row as a loaded row has it: $name',
  async ({ name, sql, column, texts }) => {
    const repository = w.dataSource.getRepository(name)
    const type = sql ?? String(column.type)
    const keys = async (): Promise<(string | undefined)[]> =>
      sorted((await w.changes()).map(({ metadata, key }) => keyOf(metadata, key)))
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(texts, { minLength: 1, maxLength: 20 }), async (values) => {
        await w.dataSource.transaction(async (manager) => {
          await manager.query(oddSession.replaceAll('SET ', 'SET LOCAL '))
          await manager.query(
            `INSERT INTO ${name}_rows (id) SELECT DISTINCT CAST(t AS ${type}) FROM unnest($1::text[]) t`,
            [values],
          )
          await manager.query(`UPDATE ${name}_rows SET other = 1`)
        })
        const rows = await repository.find()
        const loaded = rows.map((row) => keyOf(repository.metadata, row))
        expect(await keys()).toEqual(sorted([...loaded, ...loaded]))
        await w.sql(`DELETE FROM ${name}_rows`)
        expect(await keys()).toEqual(sorted(loaded))
      }),
      { numRuns: 8 },
    )
  },
)

it('tells of a key that is equal and has another text as of two rows', async () => {
  await w.sql(`INSERT INTO numeric_rows (id) VALUES (1.0)`)
  await w.entries()
  await w.sql(`UPDATE numeric_rows SET id = 1.00`)
  expect((await w.told()).map(({ kind, key }) => [kind, key])).toEqual([
    ['delete', { id: '1.0' }],
    ['insert', { id: '1.00' }],
  ])
})
