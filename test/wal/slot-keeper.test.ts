import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { verifyIndex } from '../../src/verify/verify.ts'
import { eventually } from '../support/streams.ts'
import { SlotKeeper } from '../../src/wal/slot-keeper.ts'
import { dropSlot, lookAtSlot } from '../../src/wal/slot.ts'
import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed

beforeEach(async () => {
  app = await followed(shop, { walMaxLag: '100mb' })
})
afterEach(() => app?.dispose())

const slot = async () => (await lookAtSlot(app.dataSource, app.log.names.slot)).slot
const demands = async () =>
  (await app.pipeline.status()).log!.verify.map(({ index, reason }) => ({ index, reason }))
const index = (): string => `${app.space.indexPrefix}products`

/** Who makes a slot holds it too. */
const isRead = () =>
  eventually(async () => expect((await slot())?.reader?.application).toMatch(/^redstream follower/))

async function fillLog(): Promise<void> {
  await app.sql('CREATE TABLE IF NOT EXISTS other (text text)')
  await app.sql(`INSERT INTO other SELECT md5(random()::text) FROM generate_series(1, 40000)`)
}

async function verified(): Promise<void> {
  const [due] = (await app.log.notes.read()).verify.entries()
  const report = await verifyIndex(app.pipeline.site(index()), {
    scope: { kind: 'all' },
    repair: true,
    examples: 1,
    patienceMs: 10_000,
    signal: new AbortController().signal,
  })
  expect(report.complete).toBe(true)
  await app.log.notes.settle(...due!)
}

describe('the slot of a follower', () => {
  test('is given up when nobody reads and the server keeps too much log; verify mends what was missed', async () => {
    await app.sql(`INSERT INTO products VALUES (1, 'before')`)
    await fillLog()
    const strict = { ...app.log, settings: { ...app.log.settings, walMaxLag: 2 ** 20 } }
    await new SlotKeeper(strict).look()
    expect(await slot()).toBeUndefined()
    expect(await demands()).toEqual([{ index: index(), reason: expect.stringContaining('walMaxLag') }])
    expect(await app.pipeline.status()).toMatchObject({ log: { state: 'missing' } })

    app.start('follower', 'consumer')
    await isRead()
    await app.sql(`INSERT INTO products VALUES (2, 'after')`)
    expect(Object.keys(await app.documents('products'))).toEqual(['2'])
    await new SlotKeeper(app.log).look()
    await verified()
    expect(Object.keys(await app.documents('products')).toSorted()).toEqual(['1', '2'])
    expect(await demands()).toEqual([])
  })

  test('that is dropped by hand is made anew, and its indices are to be verified', async () => {
    app.start('follower')
    await isRead()
    await dropSlot(app.dataSource, app.log.names.slot)
    await isRead()
    expect(await demands()).toEqual([{ index: index(), reason: 'the replication slot was gone' }])
  })

  test('is not waited for, when the worker is to stop while transactions are open', async () => {
    const queryRunner = app.dataSource.createQueryRunner()
    await queryRunner.startTransaction()
    await queryRunner.query('SELECT pg_current_xact_id()')
    await dropSlot(app.dataSource, app.log.names.slot)
    const stop = app.start('follower')
    // The server has it from the beginning, held by who makes it.
    await eventually(async () => expect(await slot()).toBeDefined())
    await stop()
    await queryRunner.rollbackTransaction()
    await queryRunner.release()
    expect(await slot()).toBeUndefined()
    expect(app.lines.map(({ message }) => message).join('\n')).toMatch(/when the transactions .* have ended/)
  })

  test('is confirmed while nothing that is followed changes, so that the server keeps no log of other tables', async () => {
    app.start('follower')
    await fillLog()
    await app.passed()
    expect(await demands()).toEqual([])
  })

  test('of another database, or of a restored one, is told apart', async () => {
    await app.log.notes.noteSlot(
      { name: app.log.names.slot, confirmed: 'FFFFFFF/0' },
      { lsn: '0/0', at: 0, reachedAt: 0 },
    )
    await new SlotKeeper(app.log).look()
    expect(await demands()).toEqual([{ index: index(), reason: expect.stringContaining('restored') }])
    await app.sql(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, [app.log.names.slot])
    await expect(new SlotKeeper(app.log).look()).rejects.toThrow(/is not Redstream's.*captureSchema/)
  })
})
