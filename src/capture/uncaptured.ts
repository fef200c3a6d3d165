import { RedstreamError } from '../errors.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { WriteKind } from './changes.ts'

/** A place in the user's code as `file:line:column`; undefined where the stack does not show it. */
export type CallSite = string | undefined

/**
 * Writes on entities that are followed, of which it cannot be known which rows they change (on a database without
 * RETURNING: `update(criteria)`, query builders, …): never silently missed.
 */
export class Uncaptured {
  readonly #mode: 'warn' | 'throw' | 'ignore'
  readonly #events: Events
  readonly #logger: Logger
  readonly #warned = new Set<string>()

  constructor(mode: 'warn' | 'throw' | 'ignore', events: Events, logger: Logger) {
    this.#mode = mode
    this.#events = events
    this.#logger = logger
  }

  /**
   * Before the statement: the only moment at which it can still be stopped.
   *
   * @throws RedstreamError ENTITY when the mode is `throw`
   */
  refuse(kind: WriteKind, definition: StreamDefinition): void {
    if (this.#mode === 'throw') throw new RedstreamError('ENTITY', describe(kind, definition, callSite()))
  }

  /** After the statement: tells it and warns once per place in the code. */
  report(kind: WriteKind, definition: StreamDefinition, site: CallSite = callSite()): void {
    const entity = definition.metadata.name
    this.#events.tell('uncaptured', { entity, index: definition.name, kind })
    if (this.#mode === 'ignore') return
    const place = `${entity} ${kind} ${site ?? ''}`
    if (this.#warned.has(place)) return
    this.#warned.add(place)
    this.#logger.warn({ entity, index: definition.name, callSite: site }, describe(kind, definition, site))
  }
}

function describe(kind: WriteKind, definition: StreamDefinition, site: CallSite): string {
  const { name } = definition.metadata
  return (
    `${name}: ${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind} that names no ids${site === undefined ? '' : ` at ${site}`}, ` +
    `so the index "${definition.name}" does not learn which rows it changed; ` +
    `use redstream.update or redstream.delete, or wrap it: redstream.bulk(${name}, where, () => …); ` +
    'where the database can return rows, the setting returning "on" is enough (setting uncaptured)'
  )
}

/** The place in the user's code that the current write came from. */
export function callSite(): CallSite {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 50
  const stack = new Error().stack ?? ''
  Error.stackTraceLimit = limit
  return stack
    .split('\n')
    .filter((line) => !line.includes('node_modules') && !line.includes('node:') && !line.includes(ownFolder))
    .map((line) => /\(?((?:file:\/\/)?\/.*:\d+:\d+)\)?$/.exec(line)?.[1])
    .find((place) => place !== undefined)
}

const ownFolder = new URL('..', import.meta.url).pathname
