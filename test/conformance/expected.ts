import type { DataSource } from 'typeorm'

import type { Content } from '../torture/outcome/differences.ts'
import type { IndexName } from './shop.ts'

/**
 * The documents that there must be, written down by hand and made by PostgreSQL: what is wrong in Redstream's code cannot
 * be wrong here in the same way.
 */
const documents: Readonly<Record<IndexName, string>> = {
  shops: `
    SELECT s.id::text AS key, jsonb_build_object(
      'id', s.id, 'name', s.name, 'visits', s.visits, 'deletedAt', NULL,
      'owner', CASE WHEN o.id IS NOT NULL THEN jsonb_build_object('id', o.id, 'name', o.name) END,
      'tags', coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name))
        FROM shop_tags st JOIN tags t ON t.id = st.tag WHERE st.shop = s.id), '[]'),
      'offers', coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', f.id, 'article', f.article, 'cents', f.cents))
        FROM offers f WHERE f."shopId" = s.id), '[]'),
      'photos', coalesce((
        SELECT jsonb_agg(jsonb_build_object('file', p.file))
        FROM photos p WHERE p."shopId" = s.id), '[]')
    ) AS document
    FROM shops s LEFT JOIN owners o ON o.id = s."ownerId" WHERE s."deletedAt" IS NULL`,
  bookings: `
    SELECT replace(replace(room, '%', '%25'), ':', '%3A') || ':' || day AS key,
      jsonb_build_object('room', room, 'day', day, 'guest', guest) AS document
    FROM bookings`,
}

/** What the database says, by `_id`. */
export async function expectedDocuments(
  dataSource: DataSource,
  name: IndexName,
): Promise<Map<string, Content>> {
  const rows = await dataSource.query<{ key: string; document: Content }[]>(documents[name])
  return new Map(rows.map(({ key, document }) => [key, inOrder(document)]))
}

/** A document with the rows that it holds in a fixed order: which one they have in it is nobody's promise. */
export function inOrder(content: Content): Content {
  const ordered = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map((row) => JSON.stringify(row, Object.keys(row as object).toSorted())).toSorted()
      : value
  return Object.fromEntries(Object.entries(content).map(([name, value]) => [name, ordered(value)]))
}
