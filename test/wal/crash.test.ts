import { afterEach, beforeEach, expect, test } from 'vitest'

import { Events } from '../../src/runtime/events.ts'
import { writersOf } from '../../src/sync/sources.ts'
import { Follower } from '../../src/wal/follower.ts'
import { lookAtSlot } from '../../src/wal/slot.ts'
import { recordingLogger } from '../support/captured.ts'
import { eventually, start } from '../support/streams.ts'
import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed

beforeEach(async () => {
  app = await followed(shop)
})
afterEach(() => app?.dispose())

/** A follower that does something between the publish of a batch and its confirmation. */
function follower(checkpoint?: () => Promise<void>): Follower {
  const { log } = app
  const events = new Events(recordingLogger([]))
  const client = app.space.elasticsearch()
  const writers = writersOf(log.redis, log.sources, events)
  return new Follower({ site: log, client, events, writers, checkpoint })
}

const ids = async () => (await app.messages(`${app.space.indexPrefix}products`)).map(({ id }) => id)
const slot = async () => (await lookAtSlot(app.dataSource, app.log.names.slot)).slot

test('what is published and not confirmed is published again', async () => {
  let ends = 0
  const running = start(
    follower(async () => {
      if ((await ids()).length === 0 || ends++ > 0) return
      await app.sql('SELECT pg_terminate_backend($1)', [(await slot())?.reader?.pid])
      await eventually(async () => expect((await slot())?.reader).toBeUndefined())
    }),
  )
  await app.sql(`INSERT INTO products VALUES (1, 'x')`)
  await eventually(async () => expect(await ids()).toEqual(['1', '1']))
  await running.stop()
})

test('the position that is confirmed is that of the end of a commit, not the byte after it', async () => {
  const running = start(follower())
  for (let id = 1; id <= 20; id++) {
    await app.sql(`INSERT INTO products VALUES (${id}, 'x')`)
    await eventually(async () => expect(await ids()).toHaveLength(id))
    // Records of the log begin at multiples of eight bytes; the byte after a commit would pass over one that begins there.
    expect((await slot())!.confirmed % 8n).toBe(0n)
  }
  await running.stop()
})

test('a table that does not tell enough is named, and nothing is lost until it does', async () => {
  await app.sql('ALTER TABLE offers REPLICA IDENTITY DEFAULT')
  const running = start(follower())
  await eventually(() =>
    expect(app.lines.map(({ facts }) => String(facts['err'])).join('\n')).toMatch(
      /offers does not tell the former values of product_id.*redstream init/,
    ),
  )
  await app.sql(`INSERT INTO products VALUES (1, 'x')`)
  await app.part.apply()
  await eventually(async () => expect(await ids()).toEqual(['1']))
  await running.stop()
})
