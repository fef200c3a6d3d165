import { afterEach, beforeEach, expect, test } from 'vitest'

import { SlotKeeper } from '../../src/wal/slot-keeper.ts'
import { eventually } from '../support/streams.ts'
import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed

beforeEach(async () => {
  app = await followed(shop)
})
afterEach(() => app?.dispose())

const index = (): string => `${app.space.indexPrefix}products`
const publication = (): string => `"${app.log.names.publication}"`
const due = async () => (await app.log.notes.read()).verify.get(index())

async function isRead(): Promise<void> {
  app.start('follower')
  await app.sql(`INSERT INTO products VALUES (1, 'before')`)
  await eventually(async () =>
    expect((await app.messages(index())).map(({ id }) => id)).toEqual(expect.arrayContaining(['1'])),
  )
}

/** What somebody does by hand, and what is said of it. */
const alterations = [
  {
    what: 'the publication is dropped',
    sql: () => `DROP PUBLICATION ${publication()}`,
    said: /no publication/,
  },
  {
    what: 'a table is taken from the publication',
    sql: () => `ALTER PUBLICATION ${publication()} DROP TABLE products`,
    said: /products is not in the publication/,
  },
  {
    what: 'a kind of writes is taken from the publication',
    sql: () => `ALTER PUBLICATION ${publication()} SET (publish = 'insert, update')`,
    said: /leaves out some kinds of writes/,
  },
  {
    what: 'only some rows of a table are published',
    sql: () =>
      `ALTER PUBLICATION ${publication()} DROP TABLE products;
       ALTER PUBLICATION ${publication()} ADD TABLE products WHERE (id > 5)`,
    said: /products .* all its rows and columns/,
  },
  {
    what: 'the former values of a foreign key are not told any more',
    sql: () => 'ALTER TABLE offers REPLICA IDENTITY DEFAULT',
    said: /offers does not tell the former values of product_id/,
  },
  {
    what: 'a table is made anew',
    sql: () =>
      `DROP TABLE product_tags; DROP TABLE tags; CREATE TABLE tags (id integer PRIMARY KEY, label text NOT NULL);
       CREATE TABLE product_tags (product_id integer, tag_id integer, PRIMARY KEY (product_id, tag_id))`,
    said: /tags is not in the publication/,
  },
  {
    what: 'another table inherits from one',
    sql: () => 'CREATE TABLE bargains () INHERITS (products)',
    said: /products has tables that inherit from it/,
    repair: 'DROP TABLE bargains',
  },
]

test.each(alterations)(
  'while it is read, $what: the index is to be verified',
  async ({ sql, said, repair }) => {
    await isRead()
    await app.sql(sql())
    // The Follower looks so, every five seconds.
    await new SlotKeeper(app.log).look()
    expect(await due()).toMatchObject({ reason: expect.stringMatching(said) })
    expect((await due())?.slotAt).toBeUndefined()
    expect(app.lines.map(({ facts }) => String(facts['reason'])).join('\n')).toMatch(said)

    // As long as it lasts, no verification is enough.
    await new SlotKeeper(app.log).look()
    expect((await due())?.slotAt).toBeUndefined()

    if (repair !== undefined) await app.sql(repair)
    await app.part.apply()
    expect((await due())?.slotAt).toBeTypeOf('number')
    await app.sql(`INSERT INTO products VALUES (2, 'after')`)
    await eventually(async () =>
      expect((await app.messages(index())).map(({ id }) => id)).toEqual(expect.arrayContaining(['2'])),
    )
  },
)

test('while nobody looks, the publication is dropped: who makes it again has the index verified', async () => {
  await app.sql(`DROP PUBLICATION ${publication()}`)
  await app.sql(`INSERT INTO products VALUES (1, 'missed')`)
  await app.part.apply()
  expect(await due()).toMatchObject({
    reason: expect.stringContaining('no publication'),
    slotAt: expect.any(Number),
  })
  await app.part.apply()
  expect((await app.log.notes.read()).verify.size).toBe(1)
})
