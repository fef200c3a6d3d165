import { expect, test } from 'vitest'

import { workspaceFor } from '../../examples/cities/demo/workspace.ts'
import type { ServiceSource } from '../../services/services.ts'

const services = (postgres: ServiceSource, redis: ServiceSource, elasticsearch: ServiceSource) => ({
  databaseUrl: 'postgres://127.0.0.1:1/a',
  redisUrl: 'redis://127.0.0.1:2',
  elasticsearchUrl: 'http://127.0.0.1:3',
  source: { postgres, redis, elasticsearch },
  stop: () => Promise.resolve(),
})

test('on servers of its own the demo has the plain names', () => {
  expect(workspaceFor(services('embedded', 'compose', 'embedded'), 'ab12cd')).toEqual({
    schema: 'demo',
    namespace: 'demo',
    index: 'cities',
    environment: {
      DATABASE_URL: 'postgres://127.0.0.1:1/a',
      REDIS_URL: 'redis://127.0.0.1:2',
      ELASTICSEARCH_URL: 'http://127.0.0.1:3',
      CITIES_SCHEMA: 'demo',
      CITIES_INDEX_PREFIX: '',
      REDSTREAM_NAMESPACE: 'demo',
    },
  })
})

test('on a server of the user it has names that nobody else has, each server for itself', () => {
  const mixed = workspaceFor(services('environment', 'embedded', 'environment'), 'ab12cd')
  expect(mixed).toMatchObject({
    schema: 'redstream_demo_ab12cd',
    namespace: 'demo',
    index: 'redstream-demo-ab12cd-cities',
  })
  const { namespace } = workspaceFor(services('embedded', 'environment', 'embedded'), 'ab12cd')
  expect(namespace).toBe('redstream-demo-ab12cd')
})
