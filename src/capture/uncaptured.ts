import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'

export type WriteKind = 'insert' | 'update' | 'delete' | 'soft delete' | 'restore'

/**
 * Writes on indexed entities of which TypeORM does not tell the ids (`update(criteria)`, query builders, …): never
 * silently missed.
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
  refuse(kind: WriteKind, definition: IndexDefinition): void {
    if (this.#mode === 'throw') throw new RedstreamError('ENTITY', describe(kind, definition, callSite()))
  }

  /** After the statement: tells it and warns once per place in the code. */
  report(kind: WriteKind, definition: IndexDefinition): void {
    const entity = definition.metadata.name
    this.#events.tell('uncaptured', { entity, index: definition.name, kind })
    if (this.#mode === 'ignore') return
    const site = callSite()
    const place = `${entity} ${kind} ${site ?? ''}`
    if (this.#warned.has(place)) return
    this.#warned.add(place)
    this.#logger.warn({ entity, index: definition.name, callSite: site }, describe(kind, definition, site))
  }
}

function describe(kind: WriteKind, definition: IndexDefinition, site: string | undefined): string {
  const { name } = definition.metadata
  return (
    `${name}: ${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind} that names no ids${site === undefined ? '' : ` at ${site}`}, ` +
    `so the index "${definition.name}" does not learn which rows it changed; ` +
    `wrap it: redstream.bulk(${name}, where, () => …), or use save/remove (setting uncaptured)`
  )
}

/** The place in the user's code that the current write came from, where the stack still shows it. */
function callSite(): string | undefined {
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
