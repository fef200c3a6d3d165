import type { DataSource } from 'typeorm'

import { alone, type DatabasePart, type DatabaseStep, type Removal } from '../capture/database-objects.ts'
import type { CaptureMode } from '../capture/modes.ts'
import type { CaptureModes } from '../capture/stream-modes.ts'
import type { WatchedTable } from '../capture/watched-table.ts'
import { OutboxPart } from '../outbox/outbox-part.ts'
import { knowsOutbox, OutboxTable } from '../outbox/outbox-table.ts'
import { TriggersPart } from '../outbox/triggers/triggers-part.ts'
import { LogPart } from '../wal/log-part.ts'
import type { LogSite } from '../wal/site.ts'

/** A part, and the modes of capture that need it. */
interface NeededPart {
  readonly neededBy: readonly CaptureMode[]
  readonly part: DatabasePart
}

/** What decides which parts there are. */
export interface DatabasePartsOptions {
  readonly dataSource: DataSource
  readonly modes: CaptureModes
  readonly captureSchema: string
  /** The tables that triggers watch. */
  readonly triggered: readonly WatchedTable[]
  /** What is known of the log, which is followed or may have been. */
  readonly log: LogSite | undefined
}

/** Everything in the database that captures changes: what the modes need is made, and all of it can be removed. */
export class DatabaseParts {
  readonly #dataSource: DataSource
  readonly #captureSchema: string
  readonly #parts: readonly DatabasePart[]
  readonly #needed: ReadonlySet<DatabasePart>

  constructor(options: DatabasePartsOptions) {
    const { dataSource, modes, captureSchema } = options
    this.#dataSource = dataSource
    this.#captureSchema = captureSchema
    const inUse = new Set(modes.values())
    const parts = partsFor(options)
    this.#parts = parts.map(({ part }) => part)
    const needed = parts.filter(({ neededBy }) => neededBy.some((mode) => inUse.has(mode)))
    this.#needed = new Set(needed.map(({ part }) => part))
  }

  /** What {@link apply} would do. */
  plan(): Promise<DatabaseStep[]> {
    return stepsOf([...this.#needed], (part) => part.plan())
  }

  /** Makes what the modes need. Removes nothing: applications of an older configuration may still write. */
  apply(): Promise<DatabaseStep[]> {
    return this.#alone(() => stepsOf([...this.#needed], (part) => part.apply()))
  }

  /** What {@link remove} would do. */
  planRemoval(what: Removal): Promise<DatabaseStep[]> {
    return stepsOf(this.#parts.toReversed(), (part) => part.planRemoval(this.#of(part, what)))
  }

  /**
   * Removes everything, or what no mode needs.
   *
   * @throws RedstreamError INDEX when something would be lost
   */
  remove(what: Removal): Promise<DatabaseStep[]> {
    return this.#alone(() => stepsOf(this.#parts.toReversed(), (part) => part.remove(this.#of(part, what))))
  }

  #of(part: DatabasePart, what: Removal): Removal {
    return this.#needed.has(part) ? what : 'everything'
  }

  #alone(action: () => Promise<DatabaseStep[]>): Promise<DatabaseStep[]> {
    return this.#parts.length === 0 ? action() : alone(this.#dataSource, this.#captureSchema, action)
  }
}

/** In the order in which they are made. A database that knows no outbox knows nothing else either. */
function partsFor({ dataSource, captureSchema, triggered, log }: DatabasePartsOptions): NeededPart[] {
  if (!knowsOutbox(dataSource)) return []
  const outbox = new OutboxPart(new OutboxTable(dataSource, captureSchema))
  const triggers = new TriggersPart(dataSource, captureSchema, triggered)
  return [
    { neededBy: ['outbox', 'trigger'], part: outbox },
    { neededBy: ['trigger'], part: triggers },
    ...(log === undefined ? [] : [{ neededBy: ['wal'] as const, part: new LogPart(log) }]),
  ]
}

/** One part after the other: the later ones rest on the earlier. */
async function stepsOf(
  parts: readonly DatabasePart[],
  steps: (part: DatabasePart) => Promise<DatabaseStep[]>,
): Promise<DatabaseStep[]> {
  const all: DatabaseStep[] = []
  for (const part of parts) all.push(...(await steps(part)))
  return all
}
