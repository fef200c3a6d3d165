import {
  AfterLoad,
  Column,
  DataSource,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  VirtualColumn,
  type EntitySubscriberInterface,
  type EntityTarget,
  type ObjectLiteral,
  type Relation,
} from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { IndexDefinition, IndexedOptions } from '../../../src/indexed.ts'
import { shapeOf } from '../../../src/sync/document-loader.ts'
import { obstacles, type Facts } from '../../../src/sync/projection/decision.ts'
import { readFacts } from '../../../src/sync/projection/facts.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'

@Entity()
class Plain {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar' })
  name!: string

  @OneToMany(() => Child, (child) => child.plain)
  children!: Relation<Child>[]
}

@Entity()
class Child {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Plain, (plain) => plain.children)
  plain!: Relation<Plain>
}

@Entity()
class Odd {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({
    type: 'varchar',
    transformer: { to: (value: unknown) => value, from: (value: unknown) => value },
  })
  transformed!: string

  @Column({ type: 'simple-array' })
  list!: string[]

  @Column({ type: 'simple-json' })
  simpleJson!: unknown

  @Column({ type: 'json' })
  json!: unknown

  @Column({ type: 'bytea' })
  bytes!: Buffer

  @Column({ type: 'interval' })
  interval!: unknown

  @Column({ type: 'float', array: true })
  floats!: number[]

  @Column({ type: 'point' })
  point!: unknown

  @Column({ type: 'enum', enum: [1, 2] })
  numbered!: number

  @VirtualColumn({ query: (alias) => `SELECT count(*)::int FROM child WHERE "plainId" = ${alias}.id` })
  count!: number

  @Column({ type: 'varchar', name: 'fine' })
  'odd name'!: string

  #hidden = ''
  @Column({ type: 'varchar' })
  get accessor(): string {
    return this.#hidden
  }
  set accessor(value: string) {
    this.#hidden = value.trim()
  }
}

class Inner {
  @Column({ type: 'int' })
  value!: number
}

@Entity()
class Wrapping {
  @PrimaryColumn({ type: 'int' })
  id!: number

  #inner = new Inner()
  @Column(() => Inner)
  get inner(): Inner {
    return this.#inner
  }
  set inner(inner: Inner) {
    this.#inner = inner
  }
}

@Entity()
class Composite {
  @PrimaryColumn({ type: 'int' })
  a!: number

  @PrimaryColumn({ type: 'int' })
  b!: number
}

@Entity()
class Listening {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @AfterLoad()
  hear(): void {
    this.id += 1
  }
}

@Entity()
class Timed {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'timestamp' })
  at!: Date

  @Column({ type: 'date' })
  day!: string

  @Column({ type: 'timestamptz' })
  zoned!: Date
}

// The columns are those of a process in UTC.
process.env['TZ'] = 'UTC'

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  const entities = [Plain, Child, Odd, Wrapping, Composite, Listening, Timed]
  dataSource = new DataSource({ ...space.dataSourceOptions(entities), synchronize: true })
  await dataSource.initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

async function reasons<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  options: IndexedOptions<E> = {},
  known: Partial<Facts> = {},
): Promise<string[]> {
  const metadata = dataSource.getMetadata(entity)
  const definition: IndexDefinition<E> = { name: 'x', stream: 'x', partitions: 1, metadata, options }
  const shape = shapeOf(definition as unknown as IndexDefinition)
  const queryRunner = dataSource.createQueryRunner()
  const facts = await readFacts(queryRunner, shape)
  await queryRunner.release()
  return obstacles(definition as unknown as IndexDefinition, shape, { ...facts, timeZone: 'UTC', ...known })
}

describe('who makes the documents', () => {
  test('the database, of plain columns and relations', async () => {
    expect(await reasons(Plain)).toEqual([])
    expect(await reasons(Plain, { relations: { children: true } })).toEqual([])
    expect(await reasons(Child, { relations: { plain: true }, mappings: {}, payload: () => ({}) })).toEqual(
      [],
    )
  })

  test('entities, where functions need them', async () => {
    const option = {
      document: () => ({}),
      when: () => true,
      id: () => '1',
      routing: () => '1',
    } satisfies IndexedOptions<Plain>
    for (const name of ['document', 'when', 'id', 'routing'] as const)
      expect(await reasons(Plain, { [name]: option[name] })).toEqual([
        `@Indexed has \`${name}\`, which needs the entity`,
      ])
  })

  test('entities, where values may become other JSON, or somebody has a say in them', async () => {
    expect(await reasons(Odd)).toMatchInlineSnapshot(`
      [
        "Odd.transformed has a transformer",
        "Odd.list is declared as simple-array and is text, whose JSON may differ",
        "Odd.simpleJson is declared as simple-json and is text, whose JSON may differ",
        "Odd.json is json, whose JSON may differ",
        "Odd.bytes is bytea, whose JSON may differ",
        "Odd.interval is interval, whose JSON may differ",
        "Odd.floats is double precision[], whose JSON may differ",
        "Odd.point is point, whose JSON may differ",
        "Odd.numbered is declared as enum and is enum, whose JSON may differ",
        "Odd.count is a virtual column",
        "the name of Odd.odd name is too long, or has other characters than letters and digits",
        "Odd.accessor is an accessor of the class",
      ]
    `)
    expect(await reasons(Wrapping)).toEqual(['Wrapping.inner.value is an accessor of the class'])
    expect(await reasons(Listening)).toEqual(['Listening has a listener or subscriber for afterLoad'])
  })

  test('entities, below a to-many relation and with a key of several columns', async () => {
    expect(await reasons(Child, { relations: { plain: { children: true } } })).toEqual([
      'Plain.children is a to-many relation below another relation',
    ])
    expect(await reasons(Plain, { relations: { children: { plain: { children: true } } } })).toEqual([
      'Plain.children is a to-many relation below another relation',
    ])
    expect(await reasons(Composite)).toEqual(['the primary key of Composite has several columns'])
  })

  test('entities, for times without a zone in a process that is not in UTC', async () => {
    expect(await reasons(Timed)).toEqual([])
    expect(await reasons(Timed, {}, { timeZone: 'Europe/Berlin' })).toEqual([
      'Timed.at is timestamp without time zone, which has no time zone, and that of this process is Europe/Berlin, not UTC',
      'Timed.day is date, which has no time zone, and that of this process is Europe/Berlin, not UTC',
    ])
  })

  test('entities, with another database or parsers of the application', async () => {
    expect(await reasons(Plain, {}, { database: 'mysql' })).toEqual(['the database is mysql, not PostgreSQL'])
    expect(await reasons(Child, {}, { parse: (_, text) => text })).toEqual([
      'Child.id is integer, for which the driver has a parser of its own',
    ])
    expect(await reasons(Child, {}, { parse: undefined })).toHaveLength(2)
  })

  test.each([
    ['gives what JSON has no text for', BigInt],
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['trims', (text: string) => text.trim()],
    ['normalizes', (text: string) => text.normalize()],
    ['takes an empty text for null', (text: string) => (text === '' ? null : text)],
  ])('entities, with a parser of texts that %s', async (_, parser) => {
    const parse =
      (ofOid: number): Facts['parse'] =>
      (oid, text) =>
        oid === 23 ? Number(text) : oid === ofOid ? parser(text) : text
    expect(await reasons(Plain, {}, { parse: parse(1043) })).toEqual([
      'Plain.name is character varying, for which the driver has a parser of its own',
    ])
    expect(await reasons(Plain, {}, { parse: parse(25) })).toEqual([
      'the driver has a parser of its own for texts, which documents are to it',
    ])
  })

  test('entities, with a parser of times that are more exact than those of JavaScript', async () => {
    const parsers: Record<number, (text: string) => unknown> = {
      23: Number,
      1082: (text) => new Date(text),
      1114: (text) => text.replace(' ', 'T').concat('Z'),
      1184: (text) => text.replace(' ', 'T').replace('+00', 'Z'),
    }
    const parse: Facts['parse'] = (oid, text) => parsers[oid]?.(text) ?? text
    expect(await reasons(Timed, {}, { parse })).toEqual([
      'Timed.at is timestamp without time zone, for which the driver has a parser of its own',
      'Timed.zoned is timestamp with time zone, for which the driver has a parser of its own',
    ])
  })

  test('entities, where a column has another type than it is declared as', async () => {
    await dataSource.query('ALTER TABLE timed ALTER zoned TYPE text')
    expect(await reasons(Timed)).toEqual([
      'Timed.zoned is declared as timestamptz and is text, whose JSON may differ',
    ])
    // The driver makes a date of it, and only where the column is declared as one does TypeORM make a text of that.
    await dataSource.query('ALTER TABLE plain ALTER name TYPE date USING NULL')
    expect(await reasons(Plain)).toEqual([
      'Plain.name is declared as varchar and is date, whose JSON may differ',
    ])
    await dataSource.query('ALTER TABLE plain ALTER name TYPE varchar')
    await dataSource.query('ALTER TABLE timed DROP zoned')
    expect(await reasons(Timed)).toEqual(['Timed.zoned is not in the database'])
  })

  test('entities, when a subscriber hears of loaded ones', async () => {
    const subscriber: EntitySubscriberInterface = { listenTo: () => Plain, afterLoad: () => undefined }
    dataSource.subscribers.push(subscriber)
    expect(await reasons(Plain)).toEqual(['Plain has a listener or subscriber for afterLoad'])
    expect(await reasons(Child)).toEqual([])
    dataSource.subscribers.splice(dataSource.subscribers.indexOf(subscriber), 1)
  })
})
