import { createCopyIndex, restoreSettings } from '../../src/indexing/copy-index.ts'
import { declareIndex } from '../../src/indexing/index-schema.ts'
import type { IndexSite } from '../../src/sync/site.ts'
import { documentOf, type City } from './place.ts'

const documentsPerRequest = 1_000

/**
 * Documents a second when nothing but bulk requests is done, with the settings of a copy.
 *
 * @param hands - requests at once
 */
export async function rawBulk(
  { client, definition, settings }: IndexSite,
  cities: readonly City[],
  hands: number,
): Promise<number> {
  const physical = `${definition.name}-raw`
  const declared = declareIndex(definition, settings)
  await createCopyIndex(client, definition, declared, physical)
  const bodies: string[] = []
  for (let first = 0; first < cities.length; first += documentsPerRequest)
    bodies.push(
      cities
        .slice(first, first + documentsPerRequest)
        .map(linesOf)
        .join(''),
    )
  const start = performance.now()
  const send = async (): Promise<void> => {
    for (let bulkBody = bodies.shift(); bulkBody !== undefined; bulkBody = bodies.shift())
      await client.transport.request({ method: 'POST', path: `/${physical}/_bulk`, bulkBody })
  }
  await Promise.all(Array.from({ length: hands }, send))
  await restoreSettings(client, declared, { from: definition.name, to: physical })
  const milliseconds = performance.now() - start
  await client.indices.delete({ index: physical })
  return Math.round((cities.length * 1_000) / milliseconds)
}

function linesOf(city: City): string {
  const action = { index: { _id: String(city.id), version: 1, version_type: 'external_gte' } }
  return `${JSON.stringify(action)}\n${JSON.stringify(documentOf(city))}\n`
}
