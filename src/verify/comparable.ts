import { RedstreamError } from '../errors.ts'
import type { Mappings } from '../indexed.ts'
import { isRecord } from '../indexing/canonical-json.ts'
import type { FlatSettings } from '../indexing/index-settings.ts'

// Elasticsearch 9.2 and later leaves them out of the documents that it returns, and has them as floats only:
// https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/dense-vector, `index.mapping.exclude_source_vectors`
const vectorTypes: readonly unknown[] = ['dense_vector', 'sparse_vector', 'rank_vectors']

/**
 * The fields of an index that cannot be compared, by their paths.
 *
 * @throws RedstreamError INDEX when Elasticsearch does not keep the documents as they were sent
 */
export function incomparableFields(
  physical: string,
  mappings: Mappings,
  settings: FlatSettings,
): Set<string> {
  const problem = sourceProblem(mappings['_source'], settings['index.mapping.source.mode'])
  if (problem !== undefined) {
    throw new RedstreamError(
      'INDEX',
      `The index "${physical}" ${problem}, so its documents cannot be compared with their rows. ` +
        'Verify needs the whole `_source`: change `mappings` or `settings` in @Indexed, and reindex.',
    )
  }
  return new Set(vectorFields(mappings.properties, ''))
}

function sourceProblem(source: unknown, mode: unknown): string | undefined {
  const given = isRecord(source) ? source : {}
  if (given['enabled'] === false || (given['mode'] ?? mode) === 'disabled') return 'keeps no `_source`'
  if ((given['mode'] ?? mode) === 'synthetic') return 'makes its `_source` anew (synthetic)'
  if (given['includes'] !== undefined || given['excludes'] !== undefined)
    return 'keeps a part of `_source` only'
  return undefined
}

function* vectorFields(properties: unknown, prefix: string): Generator<string> {
  if (!isRecord(properties)) return
  for (const [name, field] of Object.entries(properties)) {
    if (!isRecord(field)) continue
    if (vectorTypes.includes(field['type'])) yield prefix + name
    yield* vectorFields(field['properties'], `${prefix}${name}.`)
  }
}
