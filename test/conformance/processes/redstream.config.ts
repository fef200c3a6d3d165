import { defineConfig } from 'redstream'

import { shopDatabase } from '../shop.ts'
import { placeFromEnvironment } from './place.ts'

const { databaseUrl, schema, settings } = placeFromEnvironment()

export default defineConfig({ dataSource: shopDatabase(databaseUrl, schema), ...settings })
