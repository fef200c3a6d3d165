import type { Pool } from 'pg'

import type { StreamName } from '../application/entities.ts'
import type { Content } from './differences.ts'

/**
 * The documents that there must be, by `_id`, written down by hand and made by PostgreSQL: whatever is wrong in how
 * Redstream loads rows, makes documents and writes keys cannot be wrong here in the same way.
 */
const documents: Readonly<Record<StreamName, string>> = {
  products: `
    SELECT id::text AS key,
      jsonb_build_object('id', id, 'region', region, 'name', name, 'stock', stock, 'deletedAt', NULL) AS document
    FROM products WHERE "deletedAt" IS NULL`,
  orders: `
    SELECT o.id::text AS key,
      jsonb_build_object(
        'id', o.id, 'note', o.note,
        'customer', CASE WHEN c.id IS NOT NULL THEN jsonb_build_object('id', c.id, 'name', c.name) END,
        'lines', coalesce(
          (SELECT jsonb_agg(jsonb_build_object('id', l.id, 'article', l.article, 'quantity', l.quantity) ORDER BY l.id)
           FROM order_lines l WHERE l."orderId" = o.id), '[]')
      ) AS document
    FROM orders o LEFT JOIN customers c ON c.id = o."customerId"`,
  bookings: `
    SELECT replace(replace(room, '%', '%25'), ':', '%3A') || ':' || day AS key,
      jsonb_build_object('room', room, 'day', day, 'guest', guest) AS document
    FROM bookings`,
  articles: `
    SELECT id::text AS key,
      jsonb_build_object('id', id, 'title', title, 'published', true, 'body', body, 'created', created::text) AS document
    FROM articles WHERE published`,
}

/** What the database says. */
export async function expectedDocuments(database: Pool, stream: StreamName): Promise<Map<string, Content>> {
  const { rows } = await database.query<{ key: string; document: Content }>(documents[stream])
  return new Map(rows.map(({ key, document }) => [key, document]))
}
