import type { Driver, ObjectLiteral } from 'typeorm'

import { joinParts } from '../../capture/row-key.ts'
import { type Branch, type Recipe, recipeFor, type Shape } from './load-plan.ts'

/** A row as the driver returns it, by the names of the plan. */
export type RawRow = Record<string, unknown>

/** An entity made from a row, with the values that identify the row in the database. */
export interface Loaded {
  readonly entity: ObjectLiteral
  readonly recipe: Recipe
  /** Values of the primary key as the driver returned them: they go back as parameters unchanged. */
  readonly key: readonly unknown[]
}

/**
 * The entities of one batch. Each row becomes one object for each place of the tree, however often it is joined: a
 * thousand cities of fifty countries make fifty countries.
 *
 * Why not TypeORM's own hydration: it groups raw rows by their primary key values joined with `_`, so that two rows
 * with the composite keys (`a_b`, `c`) and (`a`, `b_c`) become one, and the other would look deleted.
 */
export class Hydration {
  readonly #driver: Driver
  readonly #loaded = new Map<Shape, Map<string, Loaded>>()
  readonly #recipes = new Map<Shape, Map<unknown, Recipe>>()

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** Everything loaded for a place of the tree, by identity. */
  loaded(shape: Shape): ReadonlyMap<string, Loaded> {
    return this.#loaded.get(shape) ?? new Map<string, Loaded>()
  }

  /** Places with their entities, the ones that were loaded last (the deepest) first. */
  places(): { shape: Shape; entities: ObjectLiteral[] }[] {
    return [...this.#loaded]
      .map(([shape, loaded]) => ({ shape, entities: Array.from(loaded.values(), ({ entity }) => entity) }))
      .reverse()
  }

  /** The entity of a row; null when the row has none (a LEFT JOIN that found nothing). */
  entity(shape: Shape, row: RawRow): ObjectLiteral | null {
    const identity = identityOf(row, shape.identity)
    if (identity === undefined) return null
    let byIdentity = this.#loaded.get(shape)
    if (!byIdentity) this.#loaded.set(shape, (byIdentity = new Map()))
    const known = byIdentity.get(identity)
    if (known) return known.entity
    const recipe = this.#recipe(
      shape,
      shape.discriminator === undefined ? undefined : row[shape.discriminator],
    )
    const entity = this.#create(recipe, row)
    byIdentity.set(identity, { entity, recipe, key: shape.identity.map((name) => row[name]) })
    for (const branch of recipe.toOne) setRelation(entity, branch, this.entity(branch.shape, row))
    return entity
  }

  #create(recipe: Recipe, row: RawRow): ObjectLiteral {
    const entity = recipe.metadata.create(undefined, { fromDeserializer: true }) as ObjectLiteral
    for (const { column, name } of recipe.columns) {
      const value = row[name]
      if (value === undefined) continue
      const hydrated: unknown = this.#driver.prepareHydratedValue(value, column)
      if (column.embeddedMetadata) column.setEntityValue(entity, hydrated)
      else entity[column.propertyName] = hydrated
    }
    return entity
  }

  #recipe(shape: Shape, discriminator: unknown): Recipe {
    let recipes = this.#recipes.get(shape)
    if (!recipes) this.#recipes.set(shape, (recipes = new Map()))
    let recipe = recipes.get(discriminator)
    if (!recipe) recipes.set(discriminator, (recipe = recipeFor(shape, discriminator)))
    return recipe
  }
}

/** Sets what a relation holds. TypeORM's setter merges into what a constructor may have put there, so it is not used. */
export function setRelation(entity: ObjectLiteral, { relation }: Branch, value: unknown): void {
  if (relation.isLazy || relation.embeddedMetadata) relation.setEntityValue(entity, value)
  else entity[relation.propertyName] = value
}

/** The text by which rows of one table are told apart; undefined when a part is null. */
export function identityOf(row: RawRow, names: readonly string[]): string | undefined {
  const [first] = names
  if (first !== undefined && names.length === 1) return rawText(row[first])
  const parts: string[] = []
  for (const name of names) {
    const part = rawText(row[name])
    if (part === undefined) return undefined
    parts.push(part)
  }
  return joinParts(parts)
}

function rawText(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined
  if (typeof value === 'string') return value
  if (value instanceof Date) return String(value.getTime())
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return typeof value === 'object' ? JSON.stringify(value) : (value as number | bigint | boolean).toString()
}
