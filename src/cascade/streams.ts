import type { EntityMetadata } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, StreamDefinition } from '../indexed.ts'
import { cascadePaths, type CascadePath } from './paths.ts'

/** The consumer group that finds the owners of changed rows. */
export const cascadeGroup = 'cascade'

/** A table whose changes concern documents of other rows. */
export interface CascadeSource {
  /** Whose stream tells of the changes: that of the index which holds the table's rows, or one of its own. */
  readonly definition: StreamDefinition
  readonly paths: readonly CascadePath[]
}

/**
 * The tables that documents embed or watch, each with the stream that tells of its changes. An entity that is indexed
 * itself uses the stream of its (first) index; any other, and every junction table, has one of its own:
 * `embedded:` and the table's name.
 *
 * @throws RedstreamError ENTITY when a named relation does not exist, or an index has such a stream name
 */
export function cascadeSources(definitions: readonly IndexDefinition[]): CascadeSource[] {
  const reserved = definitions.find(({ stream }) => stream.startsWith(prefix))
  if (reserved !== undefined) {
    throw new RedstreamError(
      'ENTITY',
      `${reserved.metadata.name}: the stream name "${reserved.stream}" begins with "${prefix}", which is kept for ` +
        'entities without an index of their own; give it another one (`stream` in @Indexed)',
    )
  }
  const byTable = Map.groupBy(cascadePaths(definitions), ({ metadata }) => metadata.tablePath)
  return [...byTable.values()].map((paths) => {
    const { metadata } = paths[0]!
    const indexed = definitions.find((definition) => definition.metadata === metadata)
    return { definition: indexed ?? embeddedStream(metadata), paths }
  })
}

/** The streams of tables that are embedded or watched and not indexed. */
export function embeddedStreams(sources: readonly CascadeSource[]): StreamDefinition[] {
  return sources.map(({ definition }) => definition).filter(({ stream }) => stream.startsWith(prefix))
}

const prefix = 'embedded:'

function embeddedStream(metadata: EntityMetadata): StreamDefinition {
  // Braces would change the hash tag of the keys, see `nameProblem` in streams/keys.ts.
  const table = metadata.tablePath.replace(/[%{}\s]/g, encodeURIComponent)
  const stream = `${prefix}${table}`
  return { name: stream, stream, partitions: 1, metadata, options: {} }
}
