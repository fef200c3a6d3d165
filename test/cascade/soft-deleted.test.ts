import {
  Column,
  DeleteDateColumn,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed } from '../support/shapes.ts'
import { workshop, type Workshop } from '../support/workshop.ts'

/** Embedded rows that are soft-deleted and restored, in every way, with a date that is not selected. */

@Entity()
class Maker {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @DeleteDateColumn({ type: 'timestamptz', select: false })
  deletedAt!: Date | null
}

@Indexed<Tool>({ index: indexNamed('tools'), relations: { maker: true, parts: true } })
@Entity()
class Tool {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Maker)
  maker!: Relation<Maker> | null

  @OneToMany(() => Part, ({ tool }) => tool)
  parts!: Relation<Part>[]
}

@Entity()
class Part {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Tool, ({ parts }) => parts)
  tool!: Relation<Tool> | null

  @DeleteDateColumn({ type: 'timestamptz', select: false })
  deletedAt!: Date | null
}

let app: Workshop

beforeEach(async () => {
  app = await workshop([Maker, Tool, Part])
  app.start('consumer')
  await app.save(Maker, { name: 'a' }, { name: 'b' })
  await app.save(Tool, { maker: { id: 1 } }, { maker: { id: 2 } })
  await app.save(Part, { tool: { id: 1 } }, { tool: { id: 2 } })
  await app.redstream.drained()
})
afterEach(() => app.dispose())

type Change = [string, () => Promise<unknown>, () => Promise<unknown>]

const manager = () => app.dataSource.manager

test.each<Change>([
  ['by key', () => manager().softDelete(Maker, 1), () => manager().restore(Maker, 1)],
  [
    'by criteria',
    () => manager().softDelete(Maker, { name: 'a' }),
    () => manager().restore(Maker, { name: 'a' }),
  ],
  [
    'as an entity',
    () => manager().softRemove(Maker, { id: 1, name: 'a' }),
    () => manager().recover(Maker, { id: 1, name: 'a' }),
  ],
  [
    'by its column',
    () => manager().update(Maker, 1, { deletedAt: new Date() }),
    () => manager().update(Maker, { name: 'a' }, { deletedAt: null }),
  ],
])('a row that a document refers to, %s', async (_, remove, restore) => {
  expect(await app.touchedBy('tools', remove)).toEqual(['1'])
  expect(await app.documents('tools')).toMatchObject({ 1: { maker: null }, 2: { maker: { name: 'b' } } })
  expect(await app.touchedBy('tools', restore)).toEqual(['1'])
  expect(await app.documents('tools')).toMatchObject({ 1: { maker: { name: 'a' } } })
})

test.each<Change>([
  ['by key', () => manager().softDelete(Part, 1), () => manager().restore(Part, 1)],
  [
    'by criteria',
    () => manager().softDelete(Part, { tool: { id: 1 } }),
    () => manager().restore(Part, { tool: { id: 1 } }),
  ],
  ['as an entity', () => manager().softRemove(Part, { id: 1 }), () => manager().recover(Part, { id: 1 })],
  [
    'by its column',
    () => app.redstream.update(Part, { id: 1 }, { deletedAt: new Date() }),
    () => app.redstream.update(Part, { id: 1 }, { deletedAt: null }),
  ],
])('a row that refers to a document, %s', async (_, remove, restore) => {
  expect(await app.touchedBy('tools', remove)).toEqual(['1'])
  expect(await app.documents('tools')).toMatchObject({ 1: { parts: [] }, 2: { parts: [{ id: 2 }] } })
  expect(await app.touchedBy('tools', restore)).toEqual(['1'])
  expect(await app.documents('tools')).toMatchObject({ 1: { parts: [{ id: 1 }] } })
})

test('a soft-deleted child that moves, and comes back elsewhere', async () => {
  await app.touchedBy('tools', () => manager().softDelete(Part, 1))
  await app.touchedBy('tools', () => manager().update(Part, { id: 1 }, { tool: { id: 2 } }))
  expect(await app.touchedBy('tools', () => manager().restore(Part, 1))).toEqual(['2'])
  expect(await app.documents('tools')).toMatchObject({
    1: { parts: [] },
    2: { parts: [{ id: 1 }, { id: 2 }] },
  })
})
