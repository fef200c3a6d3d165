import type { DataSource } from 'typeorm'

import type { Builder, WriteResult } from './builder.ts'

/** What is put in place of `execute` for the builders of one DataSource. */
type Execute = (builder: Builder, execute: () => Promise<WriteResult>) => Promise<WriteResult>

/** What a builder adds to its SQL while it executes. */
interface Additions {
  /** @param asked - the RETURNING list of TypeORM and of the user; empty when there is none */
  returning(asked: string): string
  where(where: string): string
}

/** A wrapped prototype, and what it was before. */
interface Wrapped {
  /** Undefined for a method that the prototype inherits. */
  readonly original: ReadonlyMap<string, PropertyDescriptor | undefined>
  readonly replaced: Partial<Builder>
}

const executes = new Map<DataSource, Execute>()
const wrapped = new Map<Builder, Wrapped>()
// Not a WeakMap: an entry of it costs more than the rest of the wrapper, and the statement's end takes it out anyway.
const adding = new Map<Builder, Additions>()

/**
 * Wraps three methods of TypeORM's builders of writes: it has no hook that may add to a statement. The wrappers are on
 * the prototypes, because builders are made in many places, by `clone()` too; for builders of other DataSources they
 * do nothing but call the original.
 *
 * @returns takes the wrapper off again
 */
export function hookBuilders(dataSource: DataSource, execute: Execute): () => void {
  executes.set(dataSource, execute)
  for (const prototype of buildersOf(dataSource)) if (!wrapped.has(prototype)) wrap(prototype)
  return () => {
    executes.delete(dataSource)
    if (executes.size > 0) return
    for (const prototype of wrapped.keys()) unwrap(prototype)
  }
}

/** The prototypes of the builders of writes, of the copy of TypeORM that made the DataSource. */
export function buildersOf(dataSource: DataSource): Builder[] {
  const build = () => dataSource.createQueryBuilder()
  const builders: object[] = [build().insert(), build().update(), build().delete(), build().softDelete()]
  return builders.map((builder) => Object.getPrototypeOf(builder) as Builder)
}

/**
 * Lets a builder add to its SQL.
 *
 * @returns ends it
 */
export function addTo(builder: Builder, additions: Additions): () => void {
  adding.set(builder, additions)
  return () => void adding.delete(builder)
}

function wrap(prototype: Builder): void {
  const { execute, createReturningExpression, createWhereExpression } = prototype
  const replaced = {
    execute(this: Builder): Promise<WriteResult> {
      const instead = executes.get(this.connection)
      const original = () => execute.call(this)
      return instead === undefined ? original() : instead(this, original)
    },
    createReturningExpression(this: Builder, kind: 'insert' | 'update' | 'delete'): string {
      const asked = createReturningExpression.call(this, kind)
      return adding.get(this)?.returning(asked) ?? asked
    },
    createWhereExpression(this: Builder): string {
      const where = createWhereExpression.call(this)
      return adding.get(this)?.where(where) ?? where
    },
  }
  const original = new Map(
    Object.keys(replaced).map((name) => [name, Object.getOwnPropertyDescriptor(prototype, name)]),
  )
  for (const [name, value] of Object.entries(replaced)) {
    Object.defineProperty(prototype, name, { value, configurable: true, writable: true })
  }
  wrapped.set(prototype, { original, replaced })
}

function unwrap(prototype: Builder): void {
  const { original, replaced } = wrapped.get(prototype)!
  // Somebody else may have wrapped our wrapper: then it stays, and only calls the original.
  if (Object.entries(replaced).some(([name, ours]) => prototype[name as keyof Builder] !== ours)) return
  for (const [name, descriptor] of original) {
    if (descriptor === undefined) Reflect.deleteProperty(prototype, name)
    else Object.defineProperty(prototype, name, descriptor)
  }
  wrapped.delete(prototype)
}
