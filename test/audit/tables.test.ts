import {
  Column,
  ChildEntity,
  Entity,
  ManyToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
} from 'typeorm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { testSpace } from '../support/services.ts'
import { auditApplication, slotTimeout, type AuditedApplication } from './stage.ts'

@TableInheritance({ column: { type: 'text', name: 'kind' } })
@Entity({ name: 'animals' })
class Animal {
  @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
  @Column({ type: 'text' }) name!: string
}

@ChildEntity()
class Cat extends Animal {}

@ChildEntity()
class Dog extends Animal {}

@Entity({ name: 'stations' })
class Station {
  @PrimaryColumn({ type: 'uuid' }) id!: string
  @Column({ type: 'text' }) name!: string
  @Column({ type: 'text', select: false, default: '' }) secret!: string
}

@Entity({ name: 'readings' })
class Reading {
  @PrimaryColumn({ type: 'timestamptz' }) at!: Date
  @PrimaryColumn({ type: 'text' }) probe!: string
  @Column({ type: 'numeric' }) value!: string
  @ManyToOne(() => Station, { nullable: false }) station!: Station
}

describe.each(['trigger', 'wal'] as const)(
  'tables of every kind, by %s',
  { timeout: slotTimeout },
  (against) => {
    let app: AuditedApplication
    beforeAll(async () => {
      const space = await testSpace()
      for (const entity of [Cat, Dog])
        Indexed({ index: `${space.indexPrefix}${entity.name.toLowerCase()}s` })(entity)
      Indexed<Reading>({ index: `${space.indexPrefix}readings`, relations: { station: true } })(Reading)
      app = await auditApplication(space, [Animal, Cat, Dog, Station, Reading])
    })
    afterAll(() => app.dispose())

    it('have the keys that messages have, and classes of one table their streams', async () => {
      const { dataSource } = app
      const { manager } = dataSource
      const station = Object.assign(new Station(), {
        id: 'AAAAAAAA-0000-4000-8000-000000000001',
        name: 'north',
      })
      const reading = (at: string, probe: string): Reading =>
        Object.assign(new Reading(), { at: new Date(at), probe, value: '1.50', station })
      await manager.save(station)
      // Before the audit: of a row that changes twice within moments, the first message may tell of both.
      await manager.save(reading('2026-03-29T01:30:00Z', 'old'))
      const audit = await app.audit(against, 3_000)
      await manager.save(
        Object.assign(new Station(), { id: 'CCCCCCCC-0000-4000-8000-000000000001', name: 'west' }),
      )
      await manager.save([reading('2026-03-29T01:30:00.123Z', 'a:b%'), reading('2026-03-29T01:30:00Z', 'ü')])
      await manager.update(Reading, { probe: 'ü' }, { value: '2.25' })
      await manager.save(Object.assign(new Cat(), { name: 'Tom' }))
      await manager.delete(Reading, { probe: 'a:b%' })
      await dataSource.query(`UPDATE readings SET probe = 'new' WHERE probe = 'old'`)
      await audit.seen(8)
      const report = await audit.finish()
      const found = report.tables.map(({ table, kind, told, missed, examples }) => ({
        what: `${table.replace(/^.*\./, '')} ${kind}`,
        told,
        missed,
        examples,
      }))
      const at = '2026-03-29T01%3A30%3A00.000Z'
      expect(found).toEqual([
        { what: 'animals insert', told: 1, missed: 0, examples: [] },
        // A row that gets another key is two.
        { what: 'readings delete', told: 1, missed: 1, examples: [`${at}:old`] },
        { what: 'readings insert', told: 2, missed: 1, examples: [`${at}:new`] },
        { what: 'readings update', told: 1, missed: 0, examples: [] },
        { what: 'stations insert', told: 1, missed: 0, examples: [] },
      ])
    })

    it('are not blamed for updates that no document shows', async () => {
      const { dataSource } = app
      // Two rows, for a message of one change of a row may come after another.
      const ids = ['1', '2'].map((digit) => `bbbbbbbb-0000-4000-8000-00000000000${digit}`)
      await dataSource.manager.save(ids.map((id) => Object.assign(new Station(), { id, name: 'south' })))
      const audit = await app.audit(against, 1_000)
      await dataSource.manager.update(Station, { id: ids[0]! }, { secret: 'hidden' })
      await dataSource.manager.update(Station, { id: ids[1]! }, { name: 'shown' })
      const report = await audit.finish()
      expect(report).toMatchObject({ told: 1, missed: 0, unclear: against === 'wal' ? 1 : 0 })
    })
  },
)
