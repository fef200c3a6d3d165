import { InstanceChecker, type EntityMetadata, type ObjectLiteral } from 'typeorm'

import { RedstreamError } from '../errors.ts'

/**
 * Refuses criteria that could mean more rows than their author had in mind. TypeORM 0.3 passes over a property that
 * is `undefined` or `null`, so that `{ id: undefined }` would stand for all rows.
 *
 * @throws RedstreamError USAGE naming the property
 */
export function checkCriteria(metadata: EntityMetadata, where: unknown): void {
  const alternatives: unknown[] = Array.isArray(where) ? where : [where]
  const problem =
    alternatives.length === 0
      ? 'have no alternatives'
      : alternatives.map((one) => problemAt(metadata, one, '', '')).find((found) => found !== undefined)
  if (problem === undefined) return
  throw new RedstreamError(
    'USAGE',
    `${metadata.name}: nothing is written, because the criteria ${problem}; for an empty value use IsNull(), and for ` +
      'all rows name a condition that all fulfil',
  )
}

/**
 * Refuses to change a primary key: the document of the old key would stay.
 *
 * @throws RedstreamError USAGE naming the property
 */
export function checkSet(metadata: EntityMetadata, set: ObjectLiteral): void {
  const column = metadata.primaryColumns.find((key) => key.getEntityValue(set) !== undefined)
  if (column === undefined) return
  throw new RedstreamError(
    'USAGE',
    `${metadata.name}.${column.propertyPath} is part of the primary key, which redstream.update does not change: leave ` +
      'it out, or insert a row with the new key and delete the old one',
  )
}

/**
 * @param prefix - the embedded entity of `metadata` that `value` is about, with a dot at its end
 * @param path - where `value` is in the criteria
 */
function problemAt(
  metadata: EntityMetadata,
  value: unknown,
  prefix: string,
  path: string,
): string | undefined {
  const place = path === '' ? '' : ` at "${path}"`
  if (value === undefined || value === null) return `are ${String(value)}${place}`
  if (typeof value !== 'object') return `are no object${place}`
  const entries: [string, unknown][] = Object.entries(value)
  if (entries.length === 0) return `are empty${place}`
  for (const [name, below] of entries) {
    const here = path === '' ? name : `${path}.${name}`
    const problem = problemBelow(metadata, below, prefix + name, here)
    if (problem !== undefined) return problem
  }
  return undefined
}

function problemBelow(
  metadata: EntityMetadata,
  value: unknown,
  property: string,
  path: string,
): string | undefined {
  if (value === undefined || value === null) return `are ${String(value)} at "${path}"`
  if (typeof value !== 'object' || InstanceChecker.isFindOperator(value)) return undefined
  const relation = metadata.findRelationWithPropertyPath(property)
  if (relation && !(value instanceof Date)) {
    return problemAt(relation.inverseEntityMetadata, value, '', path)
  }
  if (metadata.hasEmbeddedWithPropertyPath(property)) return problemAt(metadata, value, `${property}.`, path)
  // The value of a column: a date, bytes, JSON.
  return undefined
}
