import { createReadStream } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'

import type { Pool } from 'pg'

import { streamNames, type StreamName } from '../application/entities.ts'

const keys: Readonly<Record<StreamName, string>> = {
  products: 'SELECT id::text AS key FROM products',
  orders: 'SELECT id::text AS key FROM orders',
  bookings: `SELECT replace(replace(room, '%', '%25'), ':', '%3A') || ':' || day AS key FROM bookings`,
  articles: 'SELECT id::text AS key FROM articles',
}

/** Rows of which the second consumer group, the auditor's, has never heard. */
export async function unheardRows(database: Pool, folder: string): Promise<string[]> {
  const heard = new Set<string>()
  for await (const text of createInterface({ input: createReadStream(path.join(folder, 'audit.jsonl')) })) {
    const { audited, ids } = JSON.parse(text) as { audited: StreamName; ids: string[] }
    for (const id of ids) heard.add(`${audited} ${id}`)
  }
  const unheard: string[] = []
  for (const stream of streamNames) {
    const { rows } = await database.query<{ key: string }>(keys[stream])
    unheard.push(...rows.map(({ key }) => `${stream} ${key}`).filter((row) => !heard.has(row)))
  }
  return unheard
}
