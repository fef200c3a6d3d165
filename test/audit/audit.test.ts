import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { AuditReport } from '../../src/audit/report.ts'
import { auditStage, slotTimeout, type Stage } from './stage.ts'

describe.each(['trigger', 'wal'] as const)('what the subscriber misses, by %s', (against) => {
  let stage: Stage
  let report: AuditReport
  let countries: number[]
  let missedCities: string[]
  beforeAll(async () => {
    stage = await auditStage()
    const { dataSource, Country, City, Note } = stage
    const { manager } = dataSource
    const country = async (name: string): Promise<number> =>
      (await manager.save(Object.assign(new Country(), { name }))).id
    const cities = (countryId: number, names: readonly string[]) =>
      names.map((name) => Object.assign(new City(), { name, country: { id: countryId } }))
    countries = [await country('Italy'), await country('France')]
    const [italy, france] = countries as [number, number]
    const [rome, milan, turin] = await manager.save(cities(italy, ['Rome', 'Milan', 'Turin']))
    const [paris, lyon] = await manager.save(cities(france, ['Paris', 'Lyon']))
    await manager.save(['a', 'b'].map((name) => Object.assign(new Note(), { name })))

    const audit = await stage.audit(against)
    const writer = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        const [one, other] = await manager.save(cities(italy, [`new ${i}`, `other ${i}`]))
        await manager.save(Object.assign(one!, { name: `renamed ${i}` }))
        await manager.remove(other)
      }
    }
    await Promise.all([writer(), writer()])
    await dataSource.query(`UPDATE cities SET name = upper(name) WHERE id = ANY ($1)`, [
      [rome!.id, milan!.id],
    ])
    await dataSource.query('DELETE FROM cities WHERE id = $1', [turin!.id])
    await dataSource.query('DELETE FROM countries WHERE id = $1', [france])
    await dataSource.query('TRUNCATE notes')
    missedCities = [turin!.id, paris!.id, lyon!.id].map(String).toSorted()
    report = await audit.finish()
  }, slotTimeout)
  afterAll(() => stage.dispose())

  it('is what was done outside TypeORM, and nothing else', () => {
    const facts = report.tables.map(({ table, kind, changes, told, missed }) => ({
      table: table.replace(/^.*\./, ''),
      kind,
      changes,
      told,
      missed,
    }))
    const truncated =
      against === 'wal'
        ? { kind: 'truncate', changes: 1, told: 0, missed: 1 }
        : { kind: 'delete', changes: 2, told: 0, missed: 2 }
    expect(facts).toEqual([
      { table: 'cities', kind: 'delete', changes: 83, told: 80, missed: 3 },
      { table: 'cities', kind: 'insert', changes: 160, told: 160, missed: 0 },
      { table: 'cities', kind: 'update', changes: 82, told: 80, missed: 2 },
      { table: 'countries', kind: 'delete', changes: 1, told: 0, missed: 1 },
      { table: 'notes', ...truncated },
    ])
    expect(report).toMatchObject({ against, complete: false, waiting: 0, unclear: 0 })
  })

  it('is named by its keys and times, and with the indices that need a cure', () => {
    const line = report.tables.find(({ table, kind }) => table.endsWith('cities') && kind === 'delete')!
    expect(line.examples.toSorted()).toEqual(missedCities)
    expect(line.capture).toBe('subscriber')
    const times = [report.from, line.firstMissedAt, line.lastMissedAt, report.to]
    expect(times.map(String).toSorted()).toEqual(times)
    const { indexPrefix } = stage.space
    expect(report.indices).toEqual(['cities', 'countries', 'notes'].map((name) => `${indexPrefix}${name}`))
  })

  it('leaves nothing behind', async () => {
    const { dataSource, pipeline, captureSchema } = stage
    const [left] = (await dataSource.query(
      `SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1) + (SELECT count(*) FROM pg_publication WHERE pubname = $1)
        + (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE $1 || '%')
        + (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'cities'::regclass AND NOT tgisinternal) AS objects`,
      [`${captureSchema}_audit`],
    )) as [{ objects: string }]
    expect(left.objects).toBe('0')
    expect(await pipeline.cleanAudits()).toEqual([])
    expect(stage.log.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([])
  })
})
