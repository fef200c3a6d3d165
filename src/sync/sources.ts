import type { CascadePath } from '../cascade/paths.ts'
import { cascadeGroup, cascadeSources, embeddedStreams } from '../cascade/streams.ts'
import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, StreamDefinition } from '../indexed.ts'
import type { Events } from '../runtime/events.ts'
import { partitionsOf, type Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { StreamWriter } from '../streams/stream-writer.ts'
import { indexGroup } from './indexer.ts'

/** A stream, and who of Redstream reads it. */
export interface Source {
  readonly definition: StreamDefinition
  readonly partitions: readonly Partition[]
  /** What the group "index" writes; undefined: nothing. */
  readonly index: IndexDefinition | undefined
  /** Where the group "cascade" finds the documents that hold the rows; empty: there are none. */
  readonly paths: readonly CascadePath[]
  /** The consumer groups that must exist. */
  readonly groups: readonly string[]
}

/** The stream of an indexed entity. */
export type IndexedSource = Source & { readonly index: IndexDefinition }

/**
 * Every stream of the definitions: one for each index, and one for each table that is only embedded.
 *
 * @throws RedstreamError ENTITY when a named relation does not exist
 */
export function sourcesOf(namespace: string, definitions: readonly IndexDefinition[]): Source[] {
  const cascade = cascadeSources(definitions)
  const pathsOf = new Map(cascade.map(({ definition, paths }) => [definition, paths]))
  const sourceOf = (definition: StreamDefinition, index: IndexDefinition | undefined): Source => {
    const paths = pathsOf.get(definition) ?? []
    const groups = [...(index ? [indexGroup] : []), ...(paths.length > 0 ? [cascadeGroup] : [])]
    const partitions = partitionsOf(namespace, definition.stream, definition.partitions)
    return { definition, partitions, index, paths, groups }
  }
  return [
    ...definitions.map((definition) => sourceOf(definition, definition)),
    ...embeddedStreams(cascade).map((definition) => sourceOf(definition, undefined)),
  ]
}

/** The streams of indexed entities. */
export function indexedSources(sources: readonly Source[]): IndexedSource[] {
  return sources.filter((source): source is IndexedSource => source.index !== undefined)
}

/**
 * The source of an index.
 *
 * @param name - the alias that applications search
 * @throws RedstreamError USAGE when there is none
 */
export function sourceOfIndex(sources: readonly Source[], name: string): IndexedSource {
  const indexed = indexedSources(sources)
  const source = indexed.find(({ index }) => index.name === name)
  if (source !== undefined) return source
  const known = indexed.map(({ index }) => index.name).join(', ')
  throw new RedstreamError('USAGE', `there is no index "${name}"; the indexed entities have: ${known}`)
}

/**
 * The sources of some streams, or of all when none is named.
 *
 * @throws RedstreamError USAGE when there is no such stream
 */
export function sourcesNamed(
  sources: readonly Source[],
  streams: readonly string[] | undefined,
): readonly Source[] {
  if (streams === undefined || streams.length === 0) return sources
  return streams.map((name) => {
    const source = sources.find(({ definition }) => definition.stream === name)
    if (source !== undefined) return source
    const known = sources.map(({ definition }) => definition.stream).join(', ')
    throw new RedstreamError('USAGE', `there is no stream "${name}"; the indexed entities have: ${known}`)
  })
}

/** The partitions of all streams whose changes lead to documents of an index, by the group "cascade". */
export function cascadesTo(sources: readonly Source[], index: IndexDefinition): Partition[] {
  return sources
    .filter(({ paths }) => paths.some(({ owner }) => owner === index))
    .flatMap(({ partitions }) => partitions)
}

/** A writer for the stream of each index. */
export function writersOf(
  redis: RedisClient,
  sources: readonly Source[],
  events: Events,
): Map<StreamDefinition, StreamWriter> {
  return new Map(
    sources.map(({ definition, partitions }) => [
      definition,
      new StreamWriter(redis, partitions, undefined, events),
    ]),
  )
}
