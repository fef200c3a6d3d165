import type { DataSource, EntityMetadata } from 'typeorm'

import type { Logger } from '../../runtime/logger.ts'
import type { Removals } from '../removals.ts'
import { methodProblem, statementProblem } from './shape.ts'
import { Statements, type StatementSink } from './statements.ts'

/**
 * Starts to learn of changes from the statements of a DataSource. When TypeORM's inside is not what it was when this
 * was written, it says so, and only TypeORM's events are heard.
 *
 * @param entity - one that is followed, to try the statements on
 * @param wrap - see {@link Statements}
 */
export function attachStatements(
  dataSource: DataSource,
  sink: StatementSink,
  removals: Removals,
  entity: EntityMetadata,
  wrap: boolean,
  logger: Logger,
): Statements | undefined {
  let problem = methodProblem(dataSource)
  if (problem === undefined) {
    const statements = new Statements(dataSource, sink, removals, wrap)
    problem = tried(dataSource, entity)
    if (problem === undefined) return statements
    statements.close()
  }
  logger.warn(
    { problem },
    `this version of TypeORM is not known here: ${problem}; so updates and deletes by criteria are not captured by ` +
      'themselves: use redstream.update, redstream.delete or redstream.bulk (set returning "off" to silence this)',
  )
  return undefined
}

function tried(dataSource: DataSource, entity: EntityMetadata): string | undefined {
  try {
    return statementProblem(dataSource, entity)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
