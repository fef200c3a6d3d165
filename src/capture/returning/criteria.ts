import type { EntityMetadata, ObjectLiteral } from 'typeorm'

import { hydrated, type Column } from '../changes.ts'

/** A condition as TypeORM's builders keep it: SQL of the user, a list in parentheses, or an operator with its operands. */
type Condition =
  | string
  | readonly WhereClause[]
  | { readonly operator: string; readonly parameters?: readonly unknown[]; readonly condition?: Condition }

export interface WhereClause {
  readonly type: string
  readonly condition: Condition
}

/** By column path: the values that a row must have one of. */
type Allowed = ReadonlyMap<string, readonly unknown[]>

const anything: Allowed = new Map()

// Beyond it, criteria on several key columns name too many combinations to be worth it.
const mostKeys = 10_000

/**
 * The keys that the criteria of a statement name, for databases that return none: those of `update(id, …)`,
 * `delete([1, 2])`, `{ id: In([…]) }`, and of maps of composite keys, whatever else is asked of the rows.
 *
 * @returns undefined when a row may match whose key is not named
 */
export function keysNamed(
  metadata: EntityMetadata,
  wheres: readonly WhereClause[],
  parameters: Readonly<Record<string, unknown>>,
): ObjectLiteral[] | undefined {
  const columns = metadata.primaryColumns
  const keys: ObjectLiteral[] = []
  for (const allowed of alternativesOf(wheres, parameters)) {
    const named = combinations(columns, allowed)
    if (named === undefined || keys.length + named.length > mostKeys) return undefined
    keys.push(...named)
  }
  return keys
}

/** The criteria as alternatives, each with what it asks of columns. AND binds more tightly than OR. */
function alternativesOf(
  clauses: readonly WhereClause[],
  parameters: Readonly<Record<string, unknown>>,
): Allowed[] {
  if (clauses.length === 0) return [anything]
  const groups: WhereClause[][] = []
  for (const clause of clauses) {
    const last = groups.at(-1)
    if (last === undefined || clause.type === 'or') groups.push([clause])
    else last.push(clause)
  }
  return groups.flatMap((group) => allOf(group, parameters))
}

/** The alternatives of conditions that must all hold: what is not understood only narrows them. */
function allOf(group: readonly WhereClause[], parameters: Readonly<Record<string, unknown>>): Allowed[] {
  let result: readonly Allowed[] = [anything]
  for (const { condition } of group) {
    // TypeORM puts no parentheses around SQL of the user, so its OR ends the AND.
    if (typeof condition === 'string' && /\bor\b/i.test(condition)) return [anything]
    const alternatives = understood(condition, parameters)
    if (alternatives === undefined || result.length * alternatives.length > mostKeys) continue
    result = result.flatMap((one) => alternatives.map((other) => new Map([...one, ...other])))
  }
  return [...result]
}

function understood(
  condition: Condition,
  parameters: Readonly<Record<string, unknown>>,
): Allowed[] | undefined {
  if (typeof condition === 'string') return undefined
  if (isList(condition)) return alternativesOf(condition, parameters)
  const { operator, condition: inner } = condition
  if (operator === 'brackets' && inner !== undefined) return understood(inner, parameters)
  if (operator !== 'equal' && operator !== 'in') return undefined
  const [path, ...names] = condition.parameters ?? []
  const values = names.map((name) => valueOf(name, parameters))
  if (typeof path !== 'string' || values.includes(undefined)) return undefined
  return [new Map([[path, values]])]
}

function isList(condition: Exclude<Condition, string>): condition is readonly WhereClause[] {
  return Array.isArray(condition)
}

function valueOf(name: unknown, parameters: Readonly<Record<string, unknown>>): unknown {
  return typeof name === 'string' && name.startsWith(':') ? parameters[name.slice(1)] : undefined
}

function combinations(columns: readonly Column[], allowed: Allowed): ObjectLiteral[] | undefined {
  let keys: { column: Column; value: unknown }[][] = [[]]
  for (const column of columns) {
    const values = allowed.get(column.propertyPath)
    if (values === undefined || keys.length * values.length > mostKeys) return undefined
    keys = keys.flatMap((parts) => values.map((value) => [...parts, { column, value }]))
  }
  return keys.map((parts) => {
    const key: ObjectLiteral = {}
    for (const { column, value } of parts) column.setEntityValue(key, hydrated(column, value))
    return key
  })
}
