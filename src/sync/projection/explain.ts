import { closest } from 'fastest-levenshtein'
import type { DataSource } from 'typeorm'

import { RedstreamError } from '../../errors.ts'
import type { IndexDefinition } from '../../indexed.ts'
import { shapeOf } from '../document-loader.ts'
import { obstacles } from './decision.ts'
import { readFacts } from './facts.ts'

/** Who makes the documents of an index, as `redstream explain documents NAME --json` prints it. */
export interface ExplainedDocuments {
  index: string
  entity: string
  madeBy: 'database' | 'entities'
  /** Why not by the database. */
  because: string[]
}

/**
 * Who makes the documents of an index, or of all indices of an entity or table.
 *
 * @throws RedstreamError USAGE when there is nothing of that name; DATABASE
 */
export async function explainDocuments(
  dataSource: DataSource,
  definitions: readonly IndexDefinition[],
  name: string,
): Promise<ExplainedDocuments[]> {
  const namesOf = ({ name: index, metadata }: IndexDefinition): string[] => [
    index,
    metadata.name,
    metadata.tableName,
  ]
  const named = definitions.filter((definition) => namesOf(definition).includes(name))
  if (named.length === 0) {
    const known = [...new Set(definitions.flatMap(namesOf))]
    throw new RedstreamError(
      'USAGE',
      `there is no index, indexed entity or table "${name}"; did you mean "${closest(name, known)}"? ` +
        `There are: ${known.join(', ')}`,
    )
  }
  const explained: ExplainedDocuments[] = []
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    for (const definition of named) {
      const shape = shapeOf(definition)
      const because = obstacles(definition, shape, await readFacts(queryRunner, shape))
      const { name: index, metadata } = definition
      const madeBy = because.length === 0 ? 'database' : 'entities'
      explained.push({ index, entity: metadata.name, madeBy, because })
    }
  } finally {
    await queryRunner.release()
  }
  return explained
}

/** The same for people. */
export function formatDocuments(explained: readonly ExplainedDocuments[]): string {
  return explained
    .flatMap(({ index, entity, madeBy, because }) => [
      `${index} (${entity}): documents are made ${madeBy === 'database' ? 'by the database' : 'of entities, because'}`,
      ...because.map((reason) => `  ${reason}`),
    ])
    .map((line) => `${line}\n`)
    .join('')
}
