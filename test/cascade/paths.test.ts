import { DataSource, type EntityMetadata } from 'typeorm'
import { beforeAll, expect, test } from 'vitest'

import { explainPaths, formatPaths, pathsNamed } from '../../src/cascade/explain.ts'
import { formerKeys } from '../../src/cascade/former-keys.ts'
import { laneOf } from '../../src/cascade/lane.ts'
import { cascadePaths, type CascadePath } from '../../src/cascade/paths.ts'
import { startsOf } from '../../src/cascade/starts.ts'
import { cascadeSources, embeddedStreams } from '../../src/cascade/streams.ts'
import { resolveDefinitions } from '../../src/definitions.ts'
import type { IndexedOptions } from '../../src/indexed.ts'
import { facets, GoldBadge, Knot, Variant } from './facets.ts'
import { Category, Price, Product, shop, Tag } from './shop.ts'

let dataSource: DataSource

beforeAll(async () => {
  dataSource = new DataSource({ type: 'postgres', entities: [...shop, ...facets] })
  // The metadata alone, without a connection.
  await (dataSource as unknown as { buildMetadatas(): Promise<void> }).buildMetadatas()
})

/** The paths of an index with other options than its own. */
function pathsWith(entity: new () => object, options: IndexedOptions<never>): CascadePath[] {
  const metadata = dataSource.getMetadata(entity)
  const common = { name: 'owners', stream: 'owners', partitions: 1, metadata }
  return cascadePaths([{ ...common, options: options as unknown as IndexedOptions }])
}

/** `changed table, kind: owner table > joined relations . columns = columns of the changed row` */
function described(paths: readonly CascadePath[]): string[] {
  return paths.map(({ metadata, kind, owner, joins, at, values }) => {
    const names = (columns: CascadePath['at']): string =>
      columns.map(({ databaseName }) => databaseName).join(',')
    const way = [owner.metadata.tableName, ...joins.map(({ propertyPath }) => propertyPath)].join('.')
    return `${metadata.tableName}, ${kind}: ${way}(${names(at)}) = ${names(values)}`
  })
}

test('to-one, one-to-many, many-to-many, nested and from the inverse side', () => {
  expect(
    described(
      pathsWith(Product, { relations: { category: { parent: true }, tags: true, prices: true } as never }),
    ),
  ).toEqual([
    'category, row: product(categoryId) = id',
    'category, row: product.category(parentId) = id',
    'tag, row: product.tags(code) = code',
    'product_tags_tag, junction: product(id) = productId',
    'price, row: product.prices(id) = id',
    'price, former parent: product(id) = productId',
  ])
  expect(described(pathsWith(Tag, { relations: { products: true } as never }))).toEqual([
    'product, row: tag.products(id) = id',
    'product_tags_tag, junction: tag(code) = tagCode',
  ])
})

test('composite keys, keys that are not the primary one, classes of one table', () => {
  const relations = { facets: { values: { translations: true } }, badge: true } as never
  expect(described(pathsWith(Variant, { relations }))).toEqual([
    'facet, row: variant.facets(area,number) = area,number',
    'variant_facets_facet, junction: variant(id) = variantId',
    'facet_value, row: variant.facets.values(id) = id',
    'facet_value, former parent: variant.facets(area,number) = facetArea,facetNumber',
    'translation, row: variant.facets.values.translations(id) = id',
    'translation, former parent: variant.facets.values(slug) = value_slug',
    'badge, row: variant.badge(id) = id',
    'badge, former parent: variant(id) = variantId',
  ])
  const [ofGold] = pathsWith(GoldBadge, { relations: { variant: true } as never })
  expect(ofGold).toMatchObject({ kind: 'row', name: 'owners variant row' })
})

test('which columns matter: those that the document shows, and those that lead on', () => {
  const columnsOf = (options: IndexedOptions<never>): (string[] | undefined)[] =>
    pathsWith(Product, options).map(({ columns }) => columns && [...columns])
  const relations = { category: { parent: true } } as never
  // The note has `select: false`.
  expect(columnsOf({ relations })).toEqual([
    ['id', 'name', 'parentId'],
    ['id', 'name'],
  ])
  expect(columnsOf({ relations, document: () => ({}) })).toEqual([undefined, undefined])
  expect(columnsOf({ watch: relations })).toEqual([undefined, undefined])
  expect(pathsWith(Product, { relations, watch: relations }).map(({ option }) => option)).toEqual([
    'relations',
    'relations',
  ])
})

test('a relation that does not exist is named with the nearest one', () => {
  const options = { watch: { category: { parents: true } } } as never
  expect(() => pathsWith(Product, options)).toThrow(
    /@Indexed on Product: "category\.parents" is no relation.*Did you mean "parent"\?/,
  )
})

test('relations that contain themselves are refused', () => {
  const endless: Record<string, unknown> = {}
  endless['parent'] = endless
  expect(() => pathsWith(Knot, { relations: endless as never })).toThrow(/`relations` has no end/)
})

test('an entity with an index uses its stream, any other table one of its own', () => {
  const definitions = resolveDefinitions(dataSource)
  const sources = cascadeSources(definitions)
  const streamOf = (entity: new () => object): string | undefined =>
    sources.find(({ definition }) => definition.metadata === dataSource.getMetadata(entity))?.definition
      .stream
  expect(streamOf(Product)).toBe('-products')
  expect(streamOf(Category)).toBe('embedded:category')
  expect(
    embeddedStreams(sources)
      .map(({ stream }) => stream)
      .toSorted(),
  ).toEqual(
    ['badge', 'category', 'facet', 'facet_value', 'language', 'price', 'product_tags_tag', 'review']
      .concat('shelf_products_product', 'tag', 'translation', 'variant_facets_facet')
      .map((table) => `embedded:${table}`),
  )
  const taken = definitions.map((definition) => ({ ...definition, stream: 'embedded:category' }))
  expect(() => cascadeSources(taken)).toThrow(/"embedded:category" begins with "embedded:"/)
})

test('the foreign keys that a change takes from a row', () => {
  const metadata = dataSource.getMetadata(Price)
  const paths = pathsWith(Product, { relations: { prices: true } as never }).filter(
    (path) => path.metadata === metadata,
  )
  const lost = (
    kind: 'update' | 'delete' | 'soft delete' | 'insert',
    before?: object,
    after?: object,
  ): unknown => formerKeys(paths, { metadata, kind, before: before as never, after: after as never })
  expect(lost('update', { productId: 1 }, { productId: 2 })).toBe('{"productId":"1"}')
  expect(lost('update', { productId: 1 }, { productId: null })).toBe('{"productId":"1"}')
  expect(lost('update', { productId: 1 })).toBe('{"productId":"1"}')
  expect(lost('delete', { productId: 1 })).toBe('{"productId":"1"}')
  expect(lost('update', { productId: 1 }, { productId: '1' })).toBeUndefined()
  expect(lost('update', { productId: null }, { productId: 1 })).toBeUndefined()
  expect(lost('update', {}, {})).toBeUndefined()
  expect(lost('insert', undefined, { productId: 1 })).toBeUndefined()
  expect(lost('soft delete', { productId: 1 }, { productId: 1 })).toBeUndefined()
})

test('where a path begins: each value once, and what is no value is told', () => {
  const paths = pathsWith(Product, { relations: { prices: true, tags: true } as never })
  const invalid: string[] = []
  const starts = (
    metadata: EntityMetadata,
    kind: CascadePath['kind'],
    ...messages: object[]
  ): unknown[][] => {
    const path = paths.find((one) => one.metadata === metadata && one.kind === kind)!
    return startsOf(path, messages as never, dataSource.driver, (row) => invalid.push(row)).map(
      ({ values, rows }) => [...values, ...rows],
    )
  }
  const price = dataSource.getMetadata(Price)
  const moved = [
    { id: '1', before: ['{"productId":"7"}', '{"productId":"8"}'] },
    { id: '2', before: ['{"productId":"7"}'] },
    { id: '3', before: ['{"other":"7"}'] },
    { id: '4' },
  ]
  expect(starts(price, 'former parent', ...moved)).toEqual([
    ['7', '1', '2'],
    ['8', '1'],
  ])
  expect(starts(price, 'row', { id: '1' })).toEqual([['1', '1']])
  const junction = dataSource
    .getMetadata(Product)
    .findRelationWithPropertyPath('tags')!.junctionEntityMetadata!
  expect(starts(junction, 'junction', { id: '5:a%3Ab' }, { id: '5:c' }, { id: 'torn' })).toEqual([
    ['5', '5:a%3Ab', '5:c'],
  ])
})

test('few owners of an edit go to the main lane, many, and those of bulk messages, to the bulk lane', () => {
  expect(laneOf('main', 100)).toBe('main')
  expect(laneOf('main', 101)).toBe('bulk')
  expect(laneOf('bulk', 1)).toBe('bulk')
})

test('the paths in words, for an index, an entity and a table', () => {
  const definitions = resolveDefinitions(dataSource)
  expect(formatPaths(explainPaths(pathsNamed(definitions, 'Price')))).toMatchInlineSnapshot(`
    "Price (price)
      a changed row (id, cents, productId)
        indexes again: documents of -products that embed it as prices
        found by: product ⋈ price where price.id = price.id
      a row that is moved away or deleted
        indexes again: documents of -products that embed it as prices
        found by: product where product.id = the old price.productId
    "
  `)
  expect(formatPaths(explainPaths(pathsNamed(definitions, 'product_tags_tag')))).toMatchInlineSnapshot(`
    "product_tags_tag (junction table)
      a row that is added or deleted
        indexes again: documents of -products that embed it as tags
        found by: product where product.id = product_tags_tag.productId
    "
  `)
  const ofIndex = pathsNamed(definitions, '-variants').map(({ relation }) => relation)
  expect(new Set(ofIndex)).toEqual(
    new Set([
      'facets',
      'facets.values',
      'facets.values.translations',
      'facets.values.translations.language',
      'badge',
    ]),
  )
  const ofKnot = explainPaths(pathsNamed(definitions, 'Knot')).map(
    ({ kind, relation }) => `${relation} ${kind}`,
  )
  expect(ofKnot).toEqual(['parent row', 'children row', 'children former parent'])
  expect(() => pathsNamed(definitions, 'Prize')).toThrow(
    /no index, entity or table "Prize".*did you mean "Price"/,
  )
})
