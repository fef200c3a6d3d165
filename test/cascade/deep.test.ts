import { afterEach, beforeEach, expect, test } from 'vitest'

import { workshop, type Workshop } from '../support/workshop.ts'
import {
  Badge,
  Facet,
  facets,
  FacetValue,
  GoldBadge,
  Knot,
  Language,
  Translation,
  Variant,
} from './facets.ts'

let app: Workshop

beforeEach(async () => {
  app = await workshop(facets)
  app.start('consumer')
})
afterEach(() => app.dispose())

const red = '0b8b2f9e-0000-4000-8000-000000000001'
const blue = '0b8b2f9e-0000-4000-8000-000000000002'
const long = '0b8b2f9e-0000-4000-8000-000000000003'

async function fill(): Promise<void> {
  await app.save(Language, { code: 'de', name: 'Deutsch' }, { code: 'en', name: 'English' })
  await app.save(Facet, { area: 'look:1', number: 1 }, { area: 'size', number: 1 })
  const [look, size] = [
    { area: 'look:1', number: 1 },
    { area: 'size', number: 1 },
  ]
  await app.save(
    FacetValue,
    { id: red, slug: 'red', facet: look },
    { id: blue, slug: 'blue', facet: look },
    { id: long, slug: 'long', facet: size },
  )
  await app.save(
    Translation,
    { id: '1', text: 'rot', value: { slug: 'red', id: red }, language: { code: 'de' } },
    { id: '2', text: 'blue', value: { slug: 'blue', id: blue }, language: { code: 'en' } },
    { id: '3', text: 'lang', value: { slug: 'long', id: long }, language: { code: 'de' } },
  )
  await app.save(
    Variant,
    { id: 1, facets: [look] },
    { id: 2, facets: [look, size] },
    { id: 3, facets: [size] },
    { id: 4, facets: [] },
  )
  await app.redstream.drained()
}

test('four hops from the inverse side, over a key that is not the primary one', async () => {
  await fill()
  const touched = (write: () => Promise<unknown>): Promise<string[]> => app.touchedBy('variants', write)
  expect(await touched(() => app.save(Language, { code: 'en', name: 'english' }))).toEqual(['1', '2'])
  expect(await touched(() => app.save(Translation, { id: '3', text: 'lang!' }))).toEqual(['2', '3'])
  expect((await app.documents('variants'))[3]).toMatchObject({
    facets: [{ values: [{ translations: [{ text: 'lang!', language: { name: 'Deutsch' } }] }] }],
  })
  // From "red" to "long": the variants of both facets.
  expect(await touched(() => app.save(Translation, { id: '1', value: { id: long, slug: 'long' } }))).toEqual([
    '1',
    '2',
    '3',
  ])
  // A value moves to the other facet, with its translations.
  expect(await touched(() => app.save(FacetValue, { id: blue, facet: { area: 'size', number: 1 } }))).toEqual(
    ['1', '2', '3'],
  )
  expect((await app.documents('variants'))[1]).toMatchObject({ facets: [{ values: [{ slug: 'red' }] }] })
  const { manager } = app.dataSource
  expect(await touched(() => manager.remove(manager.create(Translation, { id: '1' })))).toEqual(['2', '3'])
})

test('an inverse one-to-one relation to a class and its children', async () => {
  await fill()
  const touched = (write: () => Promise<unknown>): Promise<string[]> => app.touchedBy('variants', write)
  expect(await touched(() => app.save(GoldBadge, { id: 1, variant: { id: 4 } }))).toEqual(['4'])
  expect(await touched(() => app.save(GoldBadge, { id: 1, carat: 18 }))).toEqual(['4'])
  expect((await app.documents('variants'))[4]).toMatchObject({ badge: { carat: 18 } })
  expect(await touched(() => app.save(GoldBadge, { id: 1, variant: { id: 3 } }))).toEqual(['3', '4'])
  expect(await touched(() => app.dataSource.manager.delete(Badge, 1))).toEqual(['3'])
})

test('a tree whose nodes embed each other: neighbours are indexed, and it ends', async () => {
  await app.save(Knot, { id: 1 }, { id: 9 })
  await app.save(Knot, { id: 2, parent: { id: 1 } })
  await app.save(Knot, { id: 3, parent: { id: 2 } })
  await app.save(Knot, { id: 4, parent: { id: 3 } })
  await app.redstream.drained()
  const touched = (write: () => Promise<unknown>): Promise<string[]> => app.touchedBy('knots', write)
  expect(await touched(() => app.save(Knot, { id: 2, name: 'two' }))).toEqual(['1', '2', '3'])
  // Also the parent that it leaves.
  expect((await touched(() => app.save(Knot, { id: 3, parent: { id: 9 } }))).toSorted()).toEqual([
    '2',
    '3',
    '4',
    '9',
  ])
  expect(await app.documents('knots')).toMatchObject({
    2: { children: [] },
    9: { children: [{ id: 3 }] },
    4: { parent: { id: 3 } },
  })
})
