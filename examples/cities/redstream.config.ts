import { defineConfig } from 'redstream'

import { dataSource } from './data-source.ts'

// Redis and Elasticsearch are those of REDIS_URL and ELASTICSEARCH_URL.
export default defineConfig({ dataSource })
