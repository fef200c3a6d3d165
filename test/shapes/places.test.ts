import { Column, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

/** Documents whose `_id` and routing the entity chooses. */

interface Values {
  id: number
  slug: string
  tenant: string
}

class Row implements Values {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  slug!: string

  @Column({ type: 'text', default: 'one' })
  tenant!: string
}

const settings = { number_of_shards: 3 }

@Indexed<Slugged>({ index: indexNamed('slugged'), id: ({ slug }) => slug, partitions: 1, settings })
@Entity()
class Slugged extends Row {}

@Indexed<Routed>({ index: indexNamed('routed'), routing: ({ tenant }) => tenant, settings })
@Entity()
class Routed extends Row {}

@Indexed<Both>({
  index: indexNamed('both'),
  id: ({ id, slug }) => `${slug}-${id}`,
  routing: ({ tenant }) => tenant,
  when: ({ slug }) => !slug.startsWith('hidden'),
  document: ({ slug }) => ({ slug }),
  mappings: { dynamic: 'strict', _routing: { required: true }, properties: { slug: { type: 'keyword' } } },
  settings,
})
@Entity()
class Both extends Row {}

@Entity()
class Shop {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  region!: string
}

@Indexed<Sale>({
  index: indexNamed('sales'),
  relations: { shop: true },
  routing: ({ shop }) => shop.region,
  settings,
})
@Entity()
class Sale {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Shop, { nullable: false })
  shop!: Relation<Shop>
}

let app: Shapes

beforeAll(async () => {
  app = await startShapes([Slugged, Routed, Both, Shop, Sale])
})
afterAll(() => app.dispose())

let made = 0
const row = (slug: string, tenant = 'one'): Values => ({ id: ++made, slug: `${slug}${made}`, tenant })
const places = async (index: string): Promise<string[]> =>
  (await app.documents(index)).map(({ id, routing }) => (routing === undefined ? id : `${id}@${routing}`))
const own = async (index: string, { id }: { id: number }): Promise<string[]> =>
  (await app.documents(index))
    .filter(({ id: at, body }) => body['redstream_key'] === String(id) || at === String(id))
    .map(({ id: at, routing }) => (routing === undefined ? at : `${at}@${routing}`))

describe('an `_id` of its own', () => {
  test('save, a change that moves the document, remove', async () => {
    const repository = app.dataSource.getRepository(Slugged)
    const first = await repository.save(row('a'))
    const before = first.slug
    expect(await app.documents('slugged')).toContainEqual({
      id: before,
      body: { id: first.id, slug: before, tenant: 'one', redstream_key: String(first.id) },
    })
    await repository.save({ id: first.id, slug: 'moved' })
    expect(await places('slugged')).toContain('moved')
    expect(await places('slugged')).not.toContain(before)
    await repository.remove(await repository.findOneByOrFail({ id: first.id }))
    expect(await own('slugged', first)).toEqual([])
  })

  test('moved twice in one transaction, and back again in another', async () => {
    const { dataSource } = app
    const first = await dataSource.manager.save(Slugged, row('a'))
    const move = async (...slugs: string[]): Promise<void> =>
      dataSource.transaction(async (manager) => {
        for (const slug of slugs) await manager.save(Slugged, { id: first.id, slug })
      })
    await move('b', 'c')
    expect(await own('slugged', first)).toEqual(['c'])
    await move('b', first.slug)
    expect(await own('slugged', first)).toEqual([first.slug])
  })

  test('a slug that passes from one row to another stays with its new row, also when the old row comes again', async () => {
    const { dataSource, redstream } = app
    const [one, two] = [row('x'), row('y')]
    await dataSource.manager.save(Slugged, [one, two])
    await dataSource.transaction(async (manager) => {
      await manager.save(Slugged, { id: one.id, slug: 'z' })
      await manager.save(Slugged, { id: two.id, slug: one.slug })
    })
    expect([await own('slugged', one), await own('slugged', two)]).toEqual([['z'], [one.slug]])
    await dataSource.manager.remove(Slugged, [{ ...one, slug: 'z' }])
    await dataSource.manager.save(Slugged, { id: one.id, slug: 'z2' })
    await redstream.touch(Slugged, [one.id, two.id])
    expect([await own('slugged', one), await own('slugged', two)]).toEqual([['z2'], [one.slug]])
    // A late message that names the place where the other row is now.
    await app.space
      .redis()
      .xadd(
        `${app.space.namespace}:redstream:{${app.space.indexPrefix}slugged}:main`,
        '*',
        'id',
        String(one.id),
        'place',
        JSON.stringify([one.slug]),
      )
    expect([await own('slugged', one), await own('slugged', two)]).toEqual([['z2'], [one.slug]])
  })

  test('a place that is left before anything was written there keeps late writes out', async () => {
    const { dataSource } = app
    const { id, slug } = row('early')
    await dataSource.transaction(async (manager) => {
      await manager.save(Slugged, { id, slug })
      await manager.save(Slugged, { id, slug: 'later' })
    })
    expect(await own('slugged', { id })).toEqual(['later'])
    const late = app.client.index({
      index: `${app.space.indexPrefix}slugged`,
      id: slug,
      document: { slug, redstream_key: String(id) },
      version: 1,
      version_type: 'external_gte',
    })
    await expect(late).rejects.toMatchObject({ statusCode: 409 })
  })

  test('writes that do not tell the old place: the index is asked', async () => {
    const { dataSource, redstream } = app
    const [moved, gone] = await dataSource.manager.save(Slugged, [row('p'), row('q')])
    await redstream.drained()
    await dataSource.query(`UPDATE slugged SET slug = 'elsewhere' WHERE id = ${moved!.id}`)
    await dataSource.query(`DELETE FROM slugged WHERE id = ${gone!.id}`)
    await redstream.touch(Slugged, [moved!.id, gone!.id])
    expect([await own('slugged', moved!), await own('slugged', gone!)]).toEqual([['elsewhere'], []])
  })

  test('update and delete by id', async () => {
    const repository = app.dataSource.getRepository(Slugged)
    const { id } = await repository.save(row('r'))
    await repository.update(id, { slug: 'updated' })
    expect(await own('slugged', { id })).toEqual(['updated'])
    await app.redstream.update(Slugged, { id }, { slug: 'updated exactly' })
    expect(await own('slugged', { id })).toEqual(['updated exactly'])
    await repository.delete(id)
    expect(await own('slugged', { id })).toEqual([])
  })

  test('what cannot be an _id is a dead letter', async () => {
    const { manager } = app.dataSource
    const rows = ['', 'ü'.repeat(257)].map((slug) => ({ ...row(''), slug }))
    await manager.save(Slugged, rows)
    const letters = await app.letters('slugged')
    expect(rows.map(({ id }) => letters[id])).toEqual([
      {
        type: 'invalid_key',
        reason: 'what id() of Slugged gives is an empty text, which Elasticsearch does not accept as _id',
      },
      {
        type: 'invalid_key',
        reason:
          'what id() of Slugged gives is 514 bytes long, and Elasticsearch accepts an _id of at most 512',
      },
    ])
  })
})

describe('a routing of its own', () => {
  test('save, changes of the routing, remove: there is one document', async () => {
    const repository = app.dataSource.getRepository(Routed)
    const first = await repository.save(row('a', 'tenant 0'))
    // Among so many, some lead to the same shard and some to another.
    for (let n = 1; n < 8; n++) {
      await repository.save({ id: first.id, tenant: `tenant ${n}` })
      expect(await places('routed')).toEqual([`${first.id}@tenant ${n}`])
    }
    await repository.remove(first)
    expect(await places('routed')).toEqual([])
  })

  test('writes that do not tell the old place', async () => {
    const { dataSource, redstream } = app
    const [moved, gone] = await dataSource.manager.save(Routed, [row('p', 'a'), row('q', 'b')])
    await redstream.drained()
    for (const tenant of ['b', 'c', 'd', 'e']) {
      await dataSource.query(`UPDATE routed SET tenant = '${tenant}' WHERE id = ${moved!.id}`)
      await redstream.bulkQueue(Routed, { id: moved!.id })
      expect(await own('routed', moved!)).toEqual([`${moved!.id}@${tenant}`])
    }
    await dataSource.query(`DELETE FROM routed`)
    await redstream.touch(Routed, [moved!.id, gone!.id])
    expect(await places('routed')).toEqual([])
  })

  test('from a relation, which the event of a removal does not have', async () => {
    const { manager } = app.dataSource
    const [north, south] = await manager.save(Shop, [
      { id: 1, region: 'north' },
      { id: 2, region: 'south' },
    ])
    const sale = await manager.save(Sale, { id: 1, shop: north! })
    expect(await places('sales')).toEqual(['1@north'])
    await manager.save(Sale, { id: 1, shop: south! })
    expect(await places('sales')).toEqual(['1@south'])
    await manager.remove(Sale, { id: sale.id } as Sale)
    expect(await places('sales')).toEqual([])
  })

  test('an empty one is a dead letter', async () => {
    const { manager } = app.dataSource
    const empty = await manager.save(Routed, { ...row('a'), tenant: '' })
    expect((await app.letters('routed'))[empty.id]).toEqual({
      type: 'invalid_key',
      reason: 'routing() of Routed must give a text, but gave an empty one',
    })
  })
})

describe('both, with a strict mapping and `when`', () => {
  test('save, move, hide, show, remove', async () => {
    const repository = app.dataSource.getRepository(Both)
    const first = await repository.save(row('a', 'x'))
    const { id } = first
    expect(await app.documents('both')).toEqual([
      { id: `${first.slug}-${id}`, routing: 'x', body: { slug: first.slug, redstream_key: String(id) } },
    ])
    await repository.save({ id, slug: 'b', tenant: 'y' })
    expect(await places('both')).toEqual([`b-${id}@y`])
    await repository.save({ id, slug: 'hidden' })
    expect(await places('both')).toEqual([])
    await repository.save({ id, slug: 'c' })
    expect(await places('both')).toEqual([`c-${id}@y`])
    await repository.remove(first)
    expect(await places('both')).toEqual([])
  })
})
