import { DataSource, EntitySchema } from 'typeorm'

import { Indexed } from '../../src/indexed.ts'
import { createLogger } from '../../src/runtime/pino-logger.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'

/** Where the processes of the benchmark work. */
export interface Place {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly elasticsearchUrl: string
}

export const namespace = 'bench-reindex'
export const index = 'bench-reindex-cities'
export const table = 'bench_reindex_cities'

export class City {
  id!: number
  name!: string
  country!: string
  population!: number
}

/** The document of a city, as the default would make it. */
export function documentOf({ id, name, country, population }: City): Record<string, unknown> {
  return { id, name, country, population }
}

// Plain TypeScript has no decorators: a schema, and the decorator as a function. The workers and the reindex are of
// the version that declares another type for a field.
const isNewer = process.env['BENCH_NEWER'] === '1'
Indexed<City>({
  index,
  document: documentOf,
  ...(isNewer && { mappings: { properties: { population: { type: 'long' } } } }),
})(City)

const schema = new EntitySchema<City>({
  name: 'City',
  target: City,
  tableName: table,
  columns: {
    id: { type: 'integer', primary: true },
    name: { type: 'text' },
    country: { type: 'text' },
    population: { type: 'integer' },
  },
})

export function cityDatabase({ databaseUrl }: Place): DataSource {
  return new DataSource({ type: 'postgres', url: databaseUrl, entities: [schema], poolSize: 12 })
}

export function pipelineOf(dataSource: DataSource, place: Place): Promise<Pipeline> {
  const settings = settingsFrom({ namespace })
  const { redisUrl: redis, elasticsearchUrl: elasticsearch } = place
  return openPipeline({ dataSource, redis, elasticsearch, settings }, createLogger({ level: 'warn' }))
}
