import type { DataSource, QueryRunner } from 'typeorm'

import type { Column, RowChange } from '../capture/changes.ts'
import { changesOfTexts, type WatchedTable } from '../capture/watched-table.ts'
import type { OutboxEntry } from './entry.ts'
import { rowsIn } from './rows-body.ts'
import { readColumns, type ColumnFacts } from './triggers/catalog.ts'

/** Reads what triggers wrote about the rows of tables. */
export class TableChanges {
  readonly #tables: ReadonlyMap<string, WatchedTable>
  readonly #parserOf: (typeId: number) => Parser
  #columns: ReadonlyMap<string, ColumnFacts> = new Map()

  /** @param tables - those that triggers watch */
  constructor(dataSource: DataSource, tables: readonly WatchedTable[]) {
    this.#tables = new Map(tables.map((table) => [table.metadata.tablePath, table]))
    this.#parserOf = driverParsers(dataSource)
  }

  /**
   * Asks the database for the types of the columns, until it has all of them: a migration may be run while this process
   * waits for it. Call it before {@link changesOf}.
   */
  async ready(queryRunner: QueryRunner): Promise<void> {
    if (this.#knowsAll()) return
    this.#columns = await readColumns(queryRunner, [...this.#tables.keys()])
  }

  #knowsAll(): boolean {
    return [...this.#tables].every(([path, { key, former }]) =>
      [...key, ...former].every(({ databaseName }) => this.#columns.get(path)?.has(databaseName)),
    )
  }

  /**
   * The changes that an entry of the kind `rows` tells of.
   *
   * @throws Error saying why it cannot be read
   */
  changesOf({ source, body }: Pick<OutboxEntry, 'source' | 'body'>): RowChange[] {
    const table = this.#tables.get(source)
    if (table === undefined) {
      throw new Error(
        `no entity of this configuration that is indexed or embedded has the table ${source}: when it has come since, start a ` +
          'relay that knows it; when it was renamed, or is needed no more, run `redstream uninstall --unused`, then ' +
          '`redstream verify NAME --repair`, and delete this entry',
      )
    }
    return rowsIn(body).flatMap((row) =>
      changesOfTexts(table, row, (column, text) => this.#parse(column, text)),
    )
  }

  #parse(column: Column, text: string): unknown {
    const fact = this.#columns.get(column.entityMetadata.tablePath)?.get(column.databaseName)
    if (fact === undefined) throw unknownColumn(column)
    return this.#parserOf(fact.typeId)(text)
  }
}

type Parser = (text: string) => unknown

interface ParserSource {
  readonly getTypeParser?: (typeId: number, format: 'text') => Parser
}

/** What the driver makes of the texts of a type, so that keys are those of loaded rows. */
function driverParsers({ driver, options }: DataSource): (typeId: number) => Parser {
  const ofPool = (options as { extra?: { types?: ParserSource } }).extra?.types
  const types = ofPool ?? (driver as { postgres?: { types?: ParserSource } }).postgres?.types
  return (typeId) => types?.getTypeParser?.(typeId, 'text') ?? ((text) => text)
}

function unknownColumn({ databaseName, entityMetadata: { tablePath } }: Column): Error {
  return new Error(
    `the table ${tablePath} has no column "${databaseName}", as its entity says: does a migration wait to be run, or this ` +
      'process for a restart?',
  )
}
