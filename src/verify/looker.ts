import { z } from 'zod'

import { keyProblem, type RowKey } from '../capture/row-key.ts'
import { keyBorneBy, type Place } from '../place.ts'
import { loadRows } from '../sync/document-loader.ts'
import { buildDocument, inContext } from '../sync/document.ts'
import { buildOperations } from '../sync/operations.ts'
import type { IndexSite } from '../sync/site.ts'
import { homeOf, homesOf } from './homes.ts'
import { compare, type Look, type Spot, type Stored, type Wish } from './look.ts'

const docsSchema = z.object({
  docs: z.array(
    z.object({
      _version: z.number().optional(),
      _seq_no: z.number().optional(),
      _primary_term: z.number().optional(),
      _routing: z.string().optional(),
      _source: z.record(z.string(), z.unknown()).optional(),
      error: z.object({ reason: z.string() }).partial().optional(),
    }),
  ),
})

/** Compares rows with their documents in one physical index. */
export class Looker {
  readonly #site: IndexSite
  readonly #physical: string
  readonly #ignored: ReadonlySet<string>
  readonly #document: ReturnType<typeof buildDocument>
  /** Average length of the documents so far: how many of them a request may ask for. */
  #documentBytes = 64 * 1024

  /**
   * @param physical - the index, not its alias: a reindex moves the alias meanwhile
   * @param ignored - fields that cannot be compared
   */
  constructor(site: IndexSite, physical: string, ignored: ReadonlySet<string>) {
    this.#site = site
    this.#physical = physical
    this.#ignored = ignored
    this.#document = buildDocument(site.definition)
  }

  /**
   * Looks at documents and then at their rows. In this order: a row that is still as it was at an earlier look was so
   * all the time in between, also when its document was read. Where the row says where its document is, it is read
   * before, too; one that moves between the two is not what it was.
   */
  async look(spots: readonly Spot[]): Promise<Look[]> {
    const looks: Look[] = []
    for (let start = 0; start < spots.length;) {
      const some = spots.slice(start, start + this.#documentsPerRequest())
      const places = await this.#places(some)
      const stored = await this.#stored(some, places)
      const wishes = await this.#wishes(new Set(some.flatMap(({ key, isKey }) => (isKey ? [key] : []))))
      some.forEach((spot, i) => {
        const reading = {
          place: places[i],
          stored: stored[i],
          wish: spot.isKey ? wishes.get(spot.key) : undefined,
        }
        looks.push(compare(spot, reading, this.#ignored))
      })
      start += some.length
    }
    return looks
  }

  #documentsPerRequest(): number {
    const { batchSize, bulkBytes } = this.#site.settings
    return Math.max(1, Math.min(batchSize, Math.floor(bulkBytes / this.#documentBytes)))
  }

  /** Where to look for the documents, in the order of the spots. */
  async #places(spots: readonly Spot[]): Promise<(Place | undefined)[]> {
    const homeless = spots.filter(({ place }) => place === undefined)
    const homes = await homesOf(
      this.#site,
      homeless.map(({ key }) => key),
    )
    return spots.map(({ key, place }) => place ?? homes.get(key))
  }

  /** The documents in real time, in the order of the spots. What bears another key is another row's. */
  async #stored(
    spots: readonly Spot[],
    places: readonly (Place | undefined)[],
  ): Promise<(Stored | undefined)[]> {
    const { client, definition } = this.#site
    // Elasticsearch refuses other ids, so it cannot have them.
    const asked = places.flatMap((place, i) =>
      place === undefined || keyProblem(place.id) !== undefined ? [] : [{ i, place }],
    )
    if (asked.length === 0) return spots.map(() => undefined)
    const docs = asked.map(({ place: { id: _id, routing } }) =>
      routing === undefined ? { _id } : { _id, routing },
    )
    const answer = docsSchema.parse(await client.mget({ index: this.#physical, docs }))
    const failed = answer.docs.find(({ error }) => error !== undefined)
    if (failed)
      throw new Error(`Elasticsearch could not read a document of ${this.#physical}: ${failed.error?.reason}`)
    const found: (Stored | undefined)[] = spots.map(() => undefined)
    asked.forEach(({ i, place }, at) => {
      const { _version: version, _seq_no, _primary_term, _routing, _source: source } = answer.docs[at]!
      if (version === undefined || _seq_no === undefined || _primary_term === undefined) return
      // Another routing that leads to the same shard: it is somewhere else.
      if (_routing !== place.routing) return
      const holder = keyBorneBy(definition, place.id, source) ?? place.id
      if (holder !== spots[i]!.key) return
      found[i] = { version, revision: { if_seq_no: _seq_no, if_primary_term: _primary_term }, source }
    })
    return found
  }

  /** What indexing would write for the rows now, by the same code; a key without a row is not in the map. */
  async #wishes(keys: ReadonlySet<RowKey>): Promise<Map<RowKey, Wish>> {
    const { definition, dataSource, services, settings } = this.#site
    const { ticketMaxAgeMs } = settings
    const loaded = await loadRows(definition, keys, dataSource)
    const homeOfRow = (key: RowKey): Place | undefined => homeOf(definition, key, loaded.rows.get(key))
    const wishes = new Map<RowKey, Wish>()
    let bytes = 0
    let made = 0
    let rest: readonly RowKey[] = [...keys]
    while (rest.length > 0) {
      const rows = new Map([...loaded.rows].filter(([key]) => !wishes.has(key)))
      const built = await inContext(dataSource, await services(), (context) =>
        buildOperations(
          rest,
          { ...loaded, rows },
          {
            definition,
            version: '0',
            document: (row) => this.#document(row, context),
            withinMs: ticketMaxAgeMs,
            ticketMaxAgeMs,
          },
        ),
      )
      for (const { id, source } of built.operations) {
        if (!loaded.rows.has(id)) continue
        wishes.set(id, { place: homeOfRow(id), source })
        if (source === undefined) continue
        bytes += Buffer.byteLength(source)
        made += 1
      }
      for (const { id, reason } of built.burials.values())
        wishes.set(id, { place: homeOfRow(id), failure: reason })
      rest = built.late
    }
    if (made > 0) this.#documentBytes = Math.max(1, bytes / made)
    return wishes
  }
}
