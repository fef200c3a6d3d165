import { DataSource, type DataSourceOptions } from 'typeorm'

import type { RowChange } from '../../../src/capture/changes.ts'
import { watchedBy, type Watch } from '../../../src/capture/watched-by.ts'
import { resolveDefinitions } from '../../../src/definitions.ts'
import { OutboxPart } from '../../../src/outbox/outbox-part.ts'
import { OutboxTable } from '../../../src/outbox/outbox-table.ts'
import { TableChanges } from '../../../src/outbox/table-changes.ts'
import { TriggersPart } from '../../../src/outbox/triggers/triggers-part.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'

/** One change as tests compare it. */
export interface Told {
  readonly table: string
  readonly kind: string
  readonly key: unknown
  readonly before?: unknown
  readonly after?: unknown
}

/** Tables with triggers, and a look into what they tell. */
export interface Witness {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly captureSchema: string
  readonly watch: Watch
  readonly part: TriggersPart
  sql(text: string, parameters?: unknown[]): Promise<unknown>
  /** What was told since it was last asked, in a fixed order. */
  told(): Promise<Told[]>
  /** The same as the relay gets it. */
  changes(): Promise<RowChange[]>
  /** Rows of the outbox, which are removed. */
  entries(): Promise<{ source: string; body: string }[]>
  dispose(): Promise<void>
}

export interface WitnessOptions {
  /** Default: TypeORM makes the tables. */
  readonly tables?: (dataSource: DataSource) => Promise<unknown>
  readonly apply?: boolean
}

export async function witness(
  entities: DataSourceOptions['entities'],
  { tables, apply = true }: WitnessOptions = {},
): Promise<Witness> {
  const space = await testSpace()
  const captureSchema = `${space.schema}_capture`
  const options = { ...space.dataSourceOptions(entities as never), synchronize: tables === undefined }
  const dataSource = await new DataSource(options).initialize()
  await tables?.(dataSource)
  const outbox = new OutboxTable(dataSource, captureSchema)
  await new OutboxPart(outbox).apply()
  const watch = watchedBy(['trigger'], dataSource, resolveDefinitions(dataSource), 'trigger')
  const part = new TriggersPart(dataSource, captureSchema, watch.tables)
  if (apply) await part.apply()
  const entries = (): Promise<{ source: string; body: string }[]> =>
    dataSource
      .query<[{ source: string; body: string }[]]>(`DELETE FROM ${outbox.quoted} RETURNING source, body`)
      .then(([rows]) => rows)
  const changes = async (): Promise<RowChange[]> => {
    const decoder = new TableChanges(dataSource, watch.tables)
    await outbox.onRunner((queryRunner) => decoder.ready(queryRunner))
    return (await entries()).flatMap((entry) => decoder.changesOf(entry))
  }
  return {
    space,
    dataSource,
    captureSchema,
    watch,
    part,
    sql: (text, parameters) => dataSource.query(text, parameters as never),
    entries,
    changes,
    told: async () =>
      (await changes())
        .map(({ metadata, kind, key, before, after }): Told => {
          const named = (what: string, value: object | undefined): object =>
            value === undefined || Object.keys(value).length === 0 ? {} : { [what]: value }
          const rest = { ...named('before', before), ...named('after', after) }
          return { table: metadata.tableName, kind, key, ...rest }
        })
        .toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1)),
    dispose: async () => {
      await dataSource.query(`DROP SCHEMA IF EXISTS "${captureSchema}" CASCADE`)
      await dataSource.destroy()
      await space.dispose()
    },
  }
}

function orderOf({ table, key, kind }: Told): string {
  return JSON.stringify([table, key, kind])
}
