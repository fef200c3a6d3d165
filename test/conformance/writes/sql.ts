import { once } from 'node:events'

import { Client, Query } from 'pg'

import { Booking, Photo } from '../shop.ts'
import type { Group, Scene } from './scene.ts'

/** Which rows it changes is known to the database alone. */
export const blindWrites: Group = {
  writes: {
    'orUpdate() of a key that is SQL': ({ manager, shops: [shop, other] }) =>
      manager
        .createQueryBuilder()
        .insert()
        .into(Photo)
        .values({ file: () => `'${shop.photos[0]!.file}'`, shop: other })
        .orUpdate(['shopId'], ['file'])
        .execute(),
  },
}

/** Raw SQL of the application. */
export const rawWrites: Group = {
  writes: {
    'query(INSERT)': ({ manager, label }) => manager.query('INSERT INTO shops (name) VALUES ($1)', [label]),
    'query(INSERT … SELECT)': ({ manager, label }) =>
      manager.query(`INSERT INTO bookings SELECT $1, n, 'Gus' FROM generate_series(2, 700) n`, [label]),
    'query(UPDATE)': ({ manager, label }) =>
      manager.query('UPDATE shops SET visits = 80 WHERE name = $1', [label]),
    'query(UPDATE of a key)': ({ manager, label }) =>
      manager.query('UPDATE bookings SET day = 9 WHERE room = $1', [label]),
    'query(UPDATE of a child’s parent)': ({ manager, shops: [shop, other] }) =>
      manager.query('UPDATE offers SET "shopId" = $1 WHERE "shopId" = $2', [other.id, shop.id]),
    'query(UPDATE of an embedded row)': ({ manager, owners: [{ id }] }) =>
      manager.query(`UPDATE owners SET name = 'Hal' WHERE id = $1`, [id]),
    'query(UPDATE of a pair)': ({ manager, shops: [shop], tags: [, other] }) =>
      manager.query('UPDATE shop_tags SET tag = $1 WHERE shop = $2', [other.id, shop.id]),
    'query(DELETE), CASCADE': ({ manager, label }) =>
      manager.query('DELETE FROM shops WHERE name = $1', [label]),
    'query(DELETE of an embedded row), SET NULL': ({ manager, owners: [{ id }] }) =>
      manager.query('DELETE FROM owners WHERE id = $1', [id]),
    'query(DELETE of a pair)': ({ manager, shops: [{ id }] }) =>
      manager.query('DELETE FROM shop_tags WHERE shop = $1', [id]),
    'query(INSERT … ON CONFLICT)': ({ manager, label }) =>
      manager.query(
        `INSERT INTO bookings VALUES ($1, 1, 'Ida'), ($1, 2, 'Ida')
         ON CONFLICT (room, day) DO UPDATE SET guest = EXCLUDED.guest`,
        [label],
      ),
    'query(MERGE)': ({ manager, label }) =>
      manager.query(
        `MERGE INTO bookings b USING (SELECT $1 AS room, n AS day FROM generate_series(1, 2) n) new
         ON b.room = new.room AND b.day = new.day
         WHEN MATCHED THEN DELETE
         WHEN NOT MATCHED THEN INSERT VALUES (new.room, new.day, 'Jim')`,
        [label],
      ),
    'query(WITH … DELETE … INSERT)': ({ manager, label }) =>
      manager.query(
        `WITH moved AS (DELETE FROM bookings WHERE room = $1 RETURNING room, day, guest)
         INSERT INTO bookings SELECT room, day + 5, guest FROM moved`,
        [label],
      ),
  },
}

/** Tables that are emptied. */
export const truncations: Group = {
  writes: {
    'clear()': ({ manager }) => manager.clear(Booking),
    TRUNCATE: ({ manager }) => manager.query('TRUNCATE shops CASCADE'),
    'TRUNCATE of an embedded table': ({ manager }) => manager.query('TRUNCATE photos'),
  },
}

/** Programs that know neither TypeORM nor Redstream. */
export const strangeWrites: Group = {
  made: 'once',
  writes: {
    'another connection': (scene) =>
      stranger(scene, (client) =>
        client.query('UPDATE shops SET visits = 81 WHERE name = $1', [scene.label]),
      ),
    'a transaction of another connection': (scene) =>
      stranger(scene, async (client) => {
        await client.query('BEGIN')
        await client.query(`UPDATE owners SET name = 'Kim' WHERE id = $1`, [scene.owners[0].id])
        await client.query('SAVEPOINT a')
        await client.query('DELETE FROM bookings WHERE room = $1', [scene.label])
        await client.query('ROLLBACK TO a')
        await client.query("UPDATE bookings SET guest = 'Lea' WHERE room = $1", [scene.label])
        await client.query('COMMIT')
      }),
    COPY: (scene) =>
      stranger(scene, async (client) => {
        const rows = Array.from({ length: 1_200 }, (_, i) => `${scene.label}\t${i + 2}\tMia\n`)
        await once(client.query(new CopyIn('COPY bookings FROM STDIN', rows.join(''))), 'end')
      }),
  },
}

/** What the database does by itself, and no metadata tells. */
export const hiddenWrites: Group = {
  made: 'once',
  writes: {
    'a trigger of the database': async ({ dataSource, shops: [{ id }], booking }) => {
      await dataSource.query(`
        CREATE FUNCTION visit() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN UPDATE shops SET visits = visits + 10 WHERE id = ${id}; RETURN NULL; END $$;
        CREATE TRIGGER visit AFTER UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION visit()`)
      try {
        await dataSource.manager.save(Object.assign(booking, { guest: 'Ned' }))
      } finally {
        await dataSource.query('DROP TRIGGER visit ON bookings; DROP FUNCTION visit()')
      }
    },
  },
}

async function stranger(
  { databaseUrl, schema }: Scene,
  write: (client: Client) => Promise<unknown>,
): Promise<void> {
  const client = new Client({ connectionString: databaseUrl, options: `-c search_path=${schema}` })
  await client.connect()
  try {
    await write(client)
  } finally {
    await client.end()
  }
}

/** Sends what COPY reads from its input: pg has the messages for it, and no method that sends them. */
class CopyIn extends Query {
  readonly #rows: string

  constructor(text: string, rows: string) {
    super(text)
    this.#rows = rows
  }

  handleCopyInResponse(connection: { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void }): void {
    connection.sendCopyFromChunk(Buffer.from(this.#rows))
    connection.endCopyFrom()
  }
}
