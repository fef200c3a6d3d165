import { EntitySchema, type DataSourceOptions } from 'typeorm'

import { outboxPlace } from './outbox-table.ts'

/** A row of the outbox, for those who want to look at it through TypeORM. */
export interface OutboxRow {
  id: string
  kind: string
  source: string
  body: string
  writtenAt: Date
  /** Why no relay could read it; null for a row that waits. */
  problem: string | null
}

/**
 * The outbox as an entity, for those whose own migrations make their tables (`migration:generate`, `synchronize`). It
 * need not be in the DataSource otherwise: `redstream init` makes the table, and nothing here asks for the entity. After
 * a migration, `redstream init` still adds PostgreSQL's settings that keep the table small.
 *
 * @param captureSchema - as the setting. Default: redstream
 * @param type - of the DataSource. Default: postgres
 */
export function outboxEntity(
  captureSchema = 'redstream',
  type: DataSourceOptions['type'] = 'postgres',
): EntitySchema<OutboxRow> {
  const { schema, table } = outboxPlace(type, captureSchema)
  const isPostgres = type === 'postgres'
  const isMysql = type === 'mysql' || type === 'mariadb'
  // In the time zone of whoever writes, an age could not be told.
  const written = isPostgres ? 'timestamptz' : isMysql ? 'timestamp' : 'datetime'
  return new EntitySchema<OutboxRow>({
    name: 'RedstreamOutbox',
    tableName: table,
    ...(schema === undefined ? {} : { schema }),
    columns: {
      // SQLite counts on by itself only for its own kind of integer.
      id: { type: isPostgres || isMysql ? 'bigint' : 'integer', primary: true, generated: 'increment' },
      kind: isMysql ? { type: 'varchar', length: 20 } : { type: 'text' },
      source: { type: 'text' },
      body: { type: isMysql ? 'longtext' : 'text' },
      writtenAt: {
        name: 'written_at',
        type: written,
        createDate: true,
        ...(isMysql ? { precision: 6 } : {}),
      },
      problem: { type: 'text', nullable: true },
    },
  })
}
