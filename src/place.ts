import { keyProblem, type RowKey } from './capture/row-key.ts'
import { RedstreamError } from './errors.ts'
import type { IndexedOptions } from './indexed.ts'

/** Where a document is in an index. */
export interface Place {
  /** Its `_id`. */
  readonly id: string
  /** What its shard is chosen by. Default: its `_id`. */
  readonly routing?: string
}

/** The field in which a document has the row's key, when its `_id` is another. */
export const keyField = 'redstream_key'

/** In a message: where the document was before is not known. */
export const unknownPlace = '?'

/**
 * The row's key that a document bears.
 *
 * @param id - its `_id`
 * @param source - as much of it as has {@link keyField}
 * @returns undefined when it should bear one in that field and does not: somebody else has written it
 */
export function keyBorneBy(
  { options }: Choice,
  id: string,
  source: Readonly<Record<string, unknown>> | undefined,
): RowKey | undefined {
  if (options.id === undefined) return id
  const key = source?.[keyField]
  return typeof key === 'string' ? key : undefined
}

interface Choice {
  readonly options: Pick<IndexedOptions, 'id' | 'routing'>
}

/** Whether documents of the definition may move: when they do, and when their row is gone, the old place must be known. */
export function isMovable({
  options,
}: {
  readonly options: Pick<IndexedOptions, 'id' | 'routing'>
}): boolean {
  return options.id !== undefined || options.routing !== undefined
}

/**
 * Where the document of an entity is.
 *
 * @throws RedstreamError ENTITY when `id` or `routing` give something that cannot be one; whatever these throw themselves
 */
export function placeOf(
  { metadata, options }: Choice & { readonly metadata: { readonly name: string } },
  key: RowKey,
  entity: object,
): Place {
  const id: unknown = options.id === undefined ? key : options.id(entity)
  const routing: unknown = options.routing?.(entity)
  if (typeof id !== 'string') throw wrong('id', id)
  const problem = keyProblem(id, options.id === undefined ? undefined : `what id() of ${metadata.name} gives`)
  if (problem !== undefined) throw new RedstreamError('ENTITY', problem)
  if (options.routing === undefined) return { id }
  if (typeof routing !== 'string' || routing === '') throw wrong('routing', routing)
  return { id, routing }

  function wrong(option: string, given: unknown): RedstreamError {
    const what = typeof given === 'string' ? 'an empty one' : given === null ? 'null' : typeof given
    return new RedstreamError('ENTITY', `${option}() of ${metadata.name} must give a text, but gave ${what}`)
  }
}

/** The text of a place in a message; the same place has the same text. */
export function encodePlace({ id, routing }: Place): string {
  return JSON.stringify(routing === undefined ? [id] : [id, routing])
}

/** The place of a text, undefined for {@link unknownPlace}. */
export function decodePlace(text: string): Place | undefined {
  if (text === unknownPlace) return undefined
  const [id, routing] = JSON.parse(text) as [string, string?]
  return routing === undefined ? { id } : { id, routing }
}
