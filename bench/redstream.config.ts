import { defineConfig, type CaptureMode } from 'redstream'
import { DataSource } from 'typeorm'

import { captureSchema, entities, space } from './entities.ts'

/** Of the worker processes that a benchmark starts. */
export default defineConfig({
  dataSource: new DataSource({
    type: 'postgres',
    url: process.env['DATABASE_URL']!,
    schema: space,
    entities,
  }),
  namespace: space,
  capture: process.env['BENCH_CAPTURE'] as CaptureMode,
  captureSchema,
})
