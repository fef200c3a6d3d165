import {
  Column,
  DataSource,
  DeleteDateColumn,
  Entity,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  VersionColumn,
  type Relation,
  type ValueTransformer,
} from 'typeorm'

import { Indexed } from '../../../src/indexed.ts'
import { Redstream, type AttachOptions } from '../../../src/redstream.ts'
import { partitionsOf } from '../../../src/streams/keys.ts'
import { decodeMessages } from '../../../src/streams/message.ts'
import { published, recordingLogger, type LogLine } from '../../support/captured.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'

@Entity({ name: 'shelves' })
export class Shelf {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @OneToMany(() => Item, (item) => item.shelf)
  items!: Relation<Item>[]
}

@Entity({ name: 'labels' })
export class Label {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  name!: string
}

@Entity({ name: 'items' })
export class Item {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', unique: true })
  name!: string

  @Column({ name: 'in_stock', type: 'integer', default: 0 })
  stock!: number

  @VersionColumn()
  version!: number

  @UpdateDateColumn({ type: 'timestamptz' })
  updatedAt!: Date

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null

  @ManyToOne(() => Shelf, (shelf) => shelf.items, { nullable: true })
  shelf!: Relation<Shelf> | null

  @ManyToMany(() => Label)
  @JoinTable({ name: 'items_labels' })
  labels!: Label[]
}

/** A composite key, one part of which is a relation's. */
@Entity({ name: 'lines' })
export class Line {
  @PrimaryColumn({ name: 'order_no', type: 'integer' })
  order!: number

  @PrimaryColumn({ type: 'text' })
  code!: string

  @Column({ type: 'integer', default: 0 })
  amount!: number
}

const reversed = (text: string): string => Array.from(text).reverse().join('')
const mirror: ValueTransformer = {
  to: (value: unknown) => (typeof value === 'string' ? `db-${reversed(value)}` : value),
  from: (value: unknown) => (typeof value === 'string' ? reversed(value.slice(3)) : value),
}

/** A key that the database holds in another form than the application. */
@Entity({ name: 'coupons' })
export class Coupon {
  @PrimaryColumn({ type: 'text', transformer: mirror })
  code!: string

  @Column({ type: 'integer', default: 0 })
  used!: number
}

/** A table in another schema, with another name for its key. */
export function archiveIn(schema: string) {
  @Entity({ name: 'archive', schema })
  class Archive {
    @PrimaryColumn({ name: 'archive_id', type: 'uuid' })
    id!: string

    @Column({ type: 'text' })
    text!: string
  }
  return Archive
}

export const entities = [Shelf, Label, Item, Line, Coupon]
const streams = ['items', 'lines', 'coupons', 'archive', 'shelves'] as const
type Stream = (typeof streams)[number]

for (const [stream, entity] of [
  ['items', Item],
  ['lines', Line],
  ['coupons', Coupon],
] as const) {
  Indexed({ index: `returning-${stream}`, stream })(entity)
}

/** A shop with rows, and what Redstream says of changes in it. */
export interface Shop {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly Archive: ReturnType<typeof archiveIn>
  /** Empties the tables and fills them anew: items 1 to 4 on two shelves, with labels. */
  fill(): Promise<void>
  attach(options?: AttachOptions): Promise<Attached>
  dispose(): Promise<void>
}

interface Attached {
  readonly redstream: Redstream
  readonly log: LogLine[]
  /** The keys that were published since the last call, sorted, as `stream:key`. */
  published(): Promise<string[]>
  delayed(): Promise<string[]>
}

export async function openShop(): Promise<Shop> {
  const space = await testSpace()
  const other = `${space.schema}_other`
  const Archive = archiveIn(other)
  Indexed({ index: 'returning-archive', stream: 'archive' })(Archive)
  const dataSource = new DataSource({
    ...space.dataSourceOptions([...entities, Archive]),
    synchronize: false,
  })
  await dataSource.initialize()
  await dataSource.query(`CREATE SCHEMA ${other}`)
  await dataSource.synchronize()
  let attached = 0
  const open = new Set<Redstream>()
  return {
    space,
    dataSource,
    Archive,
    fill: () => fill(dataSource, Archive),
    attach: async (options = {}) => {
      for (const redstream of open) await redstream.close()
      open.clear()
      const namespace = `${space.namespace}-${attached++}`
      const log: LogLine[] = []
      const redstream = await Redstream.attach(dataSource, {
        redis: space.redisUrl,
        namespace,
        logger: recordingLogger(log),
        ...options,
      })
      open.add(redstream)
      const redis = space.redis()
      const seen = new Map<string, string>()
      const read = async (lane: 'main' | 'delay'): Promise<string[]> => {
        await published(redstream)
        const found: string[] = []
        for (const stream of streams) {
          const key = partitionsOf(namespace, stream, 1)[0]!.keys[lane]
          const entries = await redis.xrange(key, seen.get(key) ?? '-', '+')
          if (entries.length > 0) seen.set(key, `(${entries.at(-1)![0]}`)
          for (const [, fields] of entries)
            found.push(...decodeMessages(fields).map(({ id }) => `${stream}:${id}`))
        }
        return found.toSorted()
      }
      return { redstream, log, published: () => read('main'), delayed: () => read('delay') }
    },
    dispose: async () => {
      for (const redstream of open) await redstream.close()
      await dataSource.query(`DROP SCHEMA ${other} CASCADE`)
      await dataSource.destroy()
      await space.dispose()
    },
  }
}

async function fill(dataSource: DataSource, Archive: ReturnType<typeof archiveIn>): Promise<void> {
  const { manager } = dataSource
  const tables = dataSource.entityMetadatas.map(({ tablePath }) => tablePath)
  await manager.query(`TRUNCATE ${tables.join(', ')} RESTART IDENTITY CASCADE`)
  const shelves = await manager.save(Shelf, [{ name: 'upper' }, { name: 'lower' }])
  const labels = await manager.save(Label, [{ name: 'new' }, { name: 'sale' }])
  const items = ['a', 'b', 'c', 'd'].map((name, i) => ({
    name,
    shelf: shelves[i % 2]!,
    labels: [labels[0]!],
  }))
  await manager.save(Item, items)
  await manager.query(`UPDATE items SET "deletedAt" = '2020-01-01' WHERE name = 'd'`)
  await manager.insert(Line, [
    { order: 1, code: 'x:1' },
    { order: 1, code: 'y' },
    { order: 2, code: 'y' },
  ])
  await manager.insert(Coupon, [{ code: 'abc' }, { code: 'xyz' }])
  await manager.insert(Archive, [
    { id: '00000000-0000-4000-8000-000000000001', text: 'one' },
    { id: '00000000-0000-4000-8000-000000000002', text: 'two' },
  ])
}

/** Every row with the transaction that wrote it last: what differs afterwards was really written. */
export async function rowVersions({ dataSource }: Shop): Promise<Map<string, string>> {
  const versions = new Map<string, string>()
  const tables: [Stream, string, string][] = [
    ['items', 'items', 'id::text'],
    ['lines', 'lines', `order_no || ':' || replace(code, ':', '%3A')`],
    ['coupons', 'coupons', 'reverse(substr(code, 4))'],
    ['archive', dataSource.getMetadata('Archive').tablePath, 'archive_id::text'],
  ]
  for (const [stream, table, key] of tables) {
    const rows = await dataSource.query<{ key: string; version: string }[]>(
      `SELECT ${key} AS key, xmin::text || ctid::text AS version FROM ${table}`,
    )
    for (const { key: id, version } of rows) versions.set(`${stream}:${id}`, version)
  }
  return versions
}

export function differences(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  const keys = new Set([...before.keys(), ...after.keys()])
  return [...keys].filter((key) => before.get(key) !== after.get(key)).toSorted()
}
