import type { DataSource, EntityMetadata } from 'typeorm'

import type { WriteKind } from '../changes.ts'
import { addTo, buildersOf } from './builder-hooks.ts'
import type { Builder } from './builder.ts'
import { returnsRows } from './databases.ts'

const methods = [
  'execute',
  'createReturningExpression',
  'createWhereExpression',
  'createCteExpression',
  'createPropertyPath',
  'replacePropertyNamesForTheWholeQuery',
  'getParameters',
  'getTableName',
  'escape',
] as const satisfies readonly (keyof Builder)[]

/**
 * What of TypeORM's inside is not as {@link Builder} says, so that its builders must not be wrapped; undefined when
 * everything is there.
 */
export function methodProblem(dataSource: DataSource): string | undefined {
  for (const prototype of buildersOf(dataSource)) {
    const missing = methods.find((name) => typeof prototype[name] !== 'function')
    if (missing !== undefined) return `${prototype.constructor.name} has no ${missing}()`
  }
  return undefined
}

const returning = 'redstream_returning'
const where = 'redstream_where'

/**
 * Whether wrapped builders make the statements that are expected of them, seen from one statement of each kind on an
 * entity. Nothing is sent to the database.
 *
 * @returns what is wrong; undefined when nothing is
 */
export function statementProblem(dataSource: DataSource, metadata: EntityMetadata): string | undefined {
  const build = () => dataSource.createQueryBuilder()
  const set = metadata.columns.find((column) => column.isUpdate && !column.isVirtual)
  const statements: [WriteKind, object][] = [
    ['insert', build().insert().into(metadata.target).values({})],
    ['delete', build().delete().from(metadata.target)],
  ]
  if (set !== undefined)
    statements.push(['update', build().update(metadata.target).set(set.createValueMap(null))])
  if (metadata.deleteDateColumn !== undefined) {
    statements.push(['soft delete', build().softDelete().from(metadata.target)])
  }
  const wrong = statements.find(([kind, builder]) => {
    const expected = kind === 'insert' ? returning : `${where} RETURNING ${returning}`
    return returnsRows(dataSource, kind) && !sqlWithAdditions(builder).includes(expected)
  })
  return wrong && `the ${wrong[0]} that TypeORM builds does not take what is added to it`
}

function sqlWithAdditions(builder: object): string {
  const inside = builder as Builder & { getQuery(): string }
  const done = addTo(inside, { returning: () => returning, where: (clause) => `${clause} ${where}` })
  try {
    return inside.getQuery()
  } finally {
    done()
  }
}
