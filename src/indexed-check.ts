import { closest } from 'fastest-levenshtein'

import { captureModes } from './capture/modes.ts'
import { RedstreamError } from './errors.ts'
import type { IndexedOptions } from './indexed.ts'

type Kind = 'text' | 'number' | 'boolean' | 'function' | 'object'

/** What each option of `@Indexed` may be. */
const kinds: Readonly<Record<keyof IndexedOptions, readonly Kind[]>> = {
  index: ['text', 'function'],
  stream: ['text', 'function'],
  partitions: ['number'],
  relations: ['object'],
  watch: ['object'],
  document: ['function'],
  mappings: ['object'],
  settings: ['object'],
  when: ['function'],
  withDeleted: ['boolean'],
  id: ['function'],
  routing: ['function'],
  payload: ['function'],
  capture: ['text'],
}

const words: Readonly<Record<Kind, string>> = {
  text: 'a text',
  number: 'a number',
  boolean: 'true or false',
  function: 'a function',
  object: 'an object',
}

/**
 * Checks the names and types of what was given to `@Indexed`, for those whom no compiler has told.
 *
 * @throws RedstreamError ENTITY that names the entity, the option, and what it takes
 */
export function checkIndexedOptions(entity: string, options: unknown): asserts options is IndexedOptions {
  if (kindOf(options) !== 'object') throw wrong(entity, `takes an object, not ${describe(options)}`)
  for (const [name, value] of Object.entries(options as object)) {
    if (!isOption(name)) {
      const names = Object.keys(kinds)
      throw wrong(
        entity,
        `has no option "${name}"; did you mean "${closest(name, names)}"? It has: ${names.join(', ')}`,
      )
    }
    if (value === undefined) continue
    const kind = kindOf(value)
    if (kind === undefined || !kinds[name].includes(kind)) {
      const allowed = kinds[name].map((each) => words[each]).join(' or ')
      throw wrong(entity, `takes ${allowed} as \`${name}\`, not ${describe(value)}`)
    }
    if (name === 'capture' && !captureModes.some((mode) => mode === value)) {
      throw wrong(entity, `takes ${captureModes.join(', ')} as \`capture\`, not ${describe(value)}`)
    }
  }
}

function isOption(name: string): name is keyof IndexedOptions {
  return Object.hasOwn(kinds, name)
}

function kindOf(value: unknown): Kind | undefined {
  switch (typeof value) {
    case 'string':
      return 'text'
    case 'number':
    case 'boolean':
    case 'function':
      return typeof value as Kind
    case 'object':
      return value === null || Array.isArray(value) ? undefined : 'object'
    default:
      return undefined
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  const kind = kindOf(value)
  if (kind === 'text' || kind === 'number' || kind === 'boolean') return JSON.stringify(value)
  return kind === undefined ? String(value) : words[kind]
}

function wrong(entity: string, what: string): RedstreamError {
  return new RedstreamError('ENTITY', `@Indexed on ${entity} ${what}`)
}
