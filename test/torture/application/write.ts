import type { DataSource, EntityManager } from 'typeorm'

import type { Redstream } from '../../../src/redstream.ts'
import { plan } from '../plan.ts'
import type { Random } from '../random.ts'
import { Product } from './entities.ts'
import type { Journal } from './journal.ts'

/** One write of a lane: what it may use, and what it leaves in the journal. */
export class Write {
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly random: Random
  /** A text that no other write has: put into rows, it tells where their content comes from. */
  readonly label: string
  /** Seconds since the torture began; the rows that are written move on with it. */
  readonly seconds: number
  readonly #journal: Journal
  readonly #began = performance.now()

  constructor(
    world: Pick<Write, 'dataSource' | 'redstream' | 'random' | 'seconds'>,
    label: string,
    journal: Journal,
  ) {
    this.dataSource = world.dataSource
    this.redstream = world.redstream
    this.random = world.random
    this.seconds = world.seconds
    this.label = label
    this.#journal = journal
  }

  get elapsedMs(): number {
    return performance.now() - this.#began
  }

  /** Notes a change of a row. */
  note(change: string, row: string): void {
    this.#journal.write({ write: this.label, change, row })
  }

  /** Runs a transaction that is rolled back when the write takes too long. */
  transaction<T>(callback: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.dataSource.transaction(async (manager) => {
      const result = await callback(manager)
      this.hurry()
      return result
    })
  }

  /** Ends a write that would not be committed within the delay: only shorter ones are safe. */
  hurry(): void {
    if (this.elapsedMs > plan.writeMs) throw new TooSlow('this write has taken too long')
  }

  /** The group of products that `bulk` writes at this time. */
  region(): number {
    return (Math.floor(this.seconds / 2) + this.random.below(2)) % plan.regions
  }

  /** A product that is not saved. */
  product(stock = this.random.below(100)): Product {
    return Object.assign(new Product(), { region: -1, name: this.label, stock })
  }
}

/** A way in which an application writes. */
export type Path = (write: Write) => Promise<void>

/** A write that took too long. */
export class TooSlow extends Error {}

/** A rollback that the application wants. */
export class RolledBack extends Error {}
