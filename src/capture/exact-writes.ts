import type {
  DataSource,
  EntityManager,
  EntityMetadata,
  EntityTarget,
  ObjectLiteral,
  QueryDeepPartialEntity,
  QueryRunner,
} from 'typeorm'

import { definitionsOf } from '../definitions.ts'
import { RedstreamError } from '../errors.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Lane } from '../streams/keys.ts'
import type { Column, RowChange } from './changes.ts'
import type { DatabaseCascade } from './database-cascade.ts'
import { returnsEnough, writeLocked, writeReturning, type Write } from './exact-statement.ts'
import { rowsPerPage, type Where } from './key-pages.ts'
import { keyOf } from './row-key.ts'
import { isPostgres } from './row-lock.ts'
import { mostInMainLane } from './transaction-capture.ts'
import { checkCriteria, checkSet } from './write-criteria.ts'

/** How far a call that goes over many rows has come. */
export interface RowProgress {
  /** Number of rows so far. */
  readonly rows: number
}

/** Options of {@link ExactWrites}. */
export interface WriteOptions {
  /** When a transaction of this manager is open, it is used. Default: a transaction of its own. */
  manager?: EntityManager
  /** Called before the commit, after each page of up to 1,000 rows. An error that it throws rolls the write back. */
  onProgress?: (progress: RowProgress) => void
}

/** What a write has done. */
export interface Written {
  /** Number of rows. */
  readonly affected: number
}

/** Where changes go, and what is wanted of them: the subscriber. */
export interface ChangeSink {
  /** The foreign keys that are wanted with each changed row. */
  interest(metadata: EntityMetadata): readonly Column[] | undefined
  /** Rows that the commit of the open transaction changes. */
  recorded(queryRunner: QueryRunner, changes: readonly RowChange[], lane: Lane): Promise<void>
}

// PostgreSQL and MySQL take 65,535 parameters in a statement, SQLite 32,766.
const parametersPerInsert = 30_000

/**
 * Writes that know exactly which rows they change, whatever other transactions do meanwhile: the rows that the
 * statement changes are those whose delay messages are written before its commit.
 *
 * Where one statement can say all that must be known, it is one statement that locks, writes and returns the rows.
 * Elsewhere the rows are locked first, and then written by their keys. The first 1,000 rows go to the main lane, what is
 * more to the bulk lane. See docs/decisions/0015-exact-writes.md.
 */
export class ExactWrites {
  readonly #dataSource: DataSource
  readonly #definitions: readonly StreamDefinition[]
  readonly #sink: ChangeSink
  readonly #cascade: DatabaseCascade

  constructor(
    dataSource: DataSource,
    definitions: readonly StreamDefinition[],
    sink: ChangeSink,
    cascade: DatabaseCascade,
  ) {
    this.#dataSource = dataSource
    this.#definitions = definitions
    this.#sink = sink
    this.#cascade = cascade
  }

  /** See `Redstream.update`. */
  async update<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    set: QueryDeepPartialEntity<E>,
    options: WriteOptions = {},
  ): Promise<Written> {
    checkSet(this.#followed(entity), set)
    return this.#write(entity, where, set, options)
  }

  /** See `Redstream.delete`. */
  async delete<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options: WriteOptions = {},
  ): Promise<Written> {
    return this.#write(entity, where, undefined, options)
  }

  /** See `Redstream.insert`. */
  async insert<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    values: QueryDeepPartialEntity<E> | QueryDeepPartialEntity<E>[],
    options: WriteOptions = {},
  ): Promise<Written> {
    const metadata = this.#followed(entity)
    const rows = Array.isArray(values) ? values : [values]
    const size = insertSize(metadata)
    await this.#inTransaction(options, async ({ manager }) => {
      for (let start = 0; start < rows.length; start += size) {
        const chunk = rows.slice(start, start + size)
        // Its events tell of the rows, with their payload.
        await manager.createQueryBuilder().insert().into(entity).values(chunk).execute()
        if (chunk.some((row) => keyOf(metadata, row) === undefined)) throw unknownKey(metadata)
        options.onProgress?.({ rows: start + chunk.length })
      }
    })
    return { affected: rows.length }
  }

  async #write<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    set: ObjectLiteral | undefined,
    { onProgress, ...options }: WriteOptions,
  ): Promise<Written> {
    const metadata = this.#followed(entity)
    checkCriteria(metadata, where)
    const foreignKeys = this.#sink.interest(metadata) ?? []
    const write: Write = { metadata, where, set, foreignKeys }
    const affected = await this.#inTransaction(options, (queryRunner) => {
      let rows = 0
      const note = async (changes: readonly RowChange[]): Promise<void> => {
        await this.#sink.recorded(queryRunner, changes, rows < mostInMainLane ? 'main' : 'bulk')
        rows += changes.length
        onProgress?.({ rows })
      }
      return returnsEnough(write, this.#dataSource, this.#cascade)
        ? writeReturning(queryRunner, write, note)
        : writeLocked(queryRunner, write, note, this.#cascade)
    })
    return { affected }
  }

  #inTransaction<T>(
    { manager = this.#dataSource.manager }: WriteOptions,
    write: (queryRunner: QueryRunner) => Promise<T>,
  ): Promise<T> {
    const { queryRunner } = manager
    if (queryRunner?.isTransactionActive) return write(queryRunner)
    return manager.transaction((inside) => write(inside.queryRunner!))
  }

  #followed(entity: EntityTarget<ObjectLiteral>): EntityMetadata {
    // Throws for an entity that nobody follows: TypeORM writes it without us.
    definitionsOf(this.#dataSource, this.#definitions, entity)
    return this.#dataSource.getMetadata(entity)
  }
}

/** How many rows one INSERT takes so that the key of each is known afterwards. */
function insertSize({ connection: { driver, options }, columns, primaryColumns }: EntityMetadata): number {
  const returns = isPostgres(options.type) || driver.isReturningSqlSupported('insert')
  const made = primaryColumns.some(({ generationStrategy }) => generationStrategy === 'increment')
  // SQLite tells the last key alone; MySQL the first, and the others follow it only as a rule.
  if (made && !returns) return 1
  // TypeORM reads what the database makes with one condition of all keys, and SQLite's are at most 1,000 deep.
  const most = returns ? rowsPerPage : rowsPerPage / 2
  return Math.max(1, Math.min(most, Math.floor(parametersPerInsert / columns.length)))
}

function unknownKey({ name }: EntityMetadata): RedstreamError {
  return new RedstreamError(
    'ENTITY',
    `${name}: the database made a primary key that it does not tell, so nothing is inserted; let the application make ` +
      'the key, or use save()',
  )
}
