import {
  ChildEntity,
  Column,
  Entity,
  EntitySchema,
  In,
  Like,
  PrimaryGeneratedColumn,
  TableInheritance,
} from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

let app: Shapes

afterEach(() => app.dispose())

function family(indexed: { parent: boolean; children: boolean }) {
  @Entity()
  @TableInheritance({ column: { type: 'varchar', name: 'kind' } })
  class Animal {
    @PrimaryGeneratedColumn({ type: 'int' })
    id!: number

    @Column({ type: 'text' })
    name!: string
  }

  @ChildEntity()
  class Dog extends Animal {
    @Column({ type: 'text', nullable: true })
    trick!: string | null
  }

  @ChildEntity()
  class Cat extends Animal {
    @Column({ type: 'int', nullable: true })
    lives!: number | null
  }

  if (indexed.parent) Indexed<Animal>({ index: indexNamed('animals') })(Animal)
  if (indexed.children) {
    Indexed<Dog>({ index: indexNamed('dogs') })(Dog)
    Indexed<Cat>({ index: indexNamed('cats') })(Cat)
  }
  const dog = (name: string): Dog => Object.assign(new Dog(), { name, trick: 'sit' })
  const cat = (name: string): Cat => Object.assign(new Cat(), { name, lives: 9 })
  return { Animal, Dog, Cat, dog, cat, entities: [Animal, Dog, Cat] }
}

test('parent and children in one index: each row as its class', async () => {
  const { Animal, dog, cat, entities } = family({ parent: true, children: false })
  app = await startShapes(entities)
  const { manager } = app.dataSource
  const rex = await manager.save(dog('Rex'))
  const tom = await manager.save(cat('Tom'))
  const plain = await manager.save(Animal, { name: 'plain' })
  expect((await app.documents('animals')).map(({ body }) => body)).toEqual([
    { id: rex.id, name: 'Rex', trick: 'sit' },
    { id: tom.id, name: 'Tom', lives: 9 },
    { id: plain.id, name: 'plain' },
  ])
  await manager.save(Object.assign(rex, { trick: 'roll' }))
  await manager.remove(Animal, [tom, plain])
  expect((await app.documents('animals')).map(({ body }) => body)).toEqual([
    { id: rex.id, name: 'Rex', trick: 'roll' },
  ])
})

test('each its own index: a change reaches the index of the class and that of its parent, and no other', async () => {
  const { Animal, Dog, dog, cat, entities } = family({ parent: true, children: true })
  app = await startShapes(entities)
  const { manager } = app.dataSource
  const rex = await manager.save(dog('Rex'))
  const tom = await manager.save(cat('Tom'))
  const ids = async (): Promise<string[][]> => [
    await app.ids('animals'),
    await app.ids('dogs'),
    await app.ids('cats'),
  ]
  expect(await ids()).toEqual([[String(rex.id), String(tom.id)], [String(rex.id)], [String(tom.id)]])
  const { length } = await app.redstream.inspect(`${app.space.indexPrefix}cats`)
  expect(length).toBe(1)

  // Through the parent's repository, with an object that is of no class.
  await manager.save(Animal, { id: rex.id, name: 'Rexi' })
  expect((await app.documents('dogs'))[0]?.body).toMatchObject({ name: 'Rexi', trick: 'sit' })
  expect((await app.documents('animals'))[0]?.body).toMatchObject({ name: 'Rexi', trick: 'sit' })
  await manager.remove(await manager.findOneByOrFail(Dog, { id: rex.id }))
  expect(await ids()).toEqual([[String(tom.id)], [], [String(tom.id)]])
})

test.each(['parent', 'child'] as const)(
  'bulk, touch and queue of the %s reach both indices',
  async (which) => {
    const { Animal, Dog, dog, entities } = family({ parent: true, children: true })
    app = await startShapes(entities)
    const { dataSource, redstream, space } = app
    const target = which === 'parent' ? Animal : Dog
    const rex = await dataSource.manager.save(dog('Rex'))
    const names = async (): Promise<unknown[]> =>
      (await Promise.all([app.documents('animals'), app.documents('dogs')])).map(
        ([first]) => first?.body['name'],
      )
    const silently = (name: string): Promise<unknown> =>
      dataSource.query(`UPDATE ${space.schema}.animal SET name = $1`, [name])
    expect(await names()).toEqual(['Rex', 'Rex'])

    await redstream.bulk(target, { name: Like('R%') }, () => silently('in bulk'))
    expect(await names()).toEqual(['in bulk', 'in bulk'])
    await dataSource.transaction(async (manager) => {
      await redstream.bulk(
        target,
        { id: rex.id },
        () => manager.query(`UPDATE animal SET name = 'in transaction'`),
        {
          manager,
        },
      )
    })
    expect(await names()).toEqual(['in transaction', 'in transaction'])
    await silently('touched')
    await redstream.touch(target, rex.id)
    expect(await names()).toEqual(['touched', 'touched'])
    await dataSource.transaction(async (manager) => {
      await manager.query(`UPDATE animal SET name = 'touched within'`)
      await redstream.touch(target, [rex.id], { manager })
    })
    expect(await names()).toEqual(['touched within', 'touched within'])
    await silently('queued')
    await redstream.producer.queue(target, [rex.id])
    expect(await names()).toEqual(['queued', 'queued'])
    await silently('queued by where')
    const delayed = await redstream.bulkDelay(target, { id: In([rex.id]) })
    await redstream.bulkQueue(target, { id: rex.id }, { delayed })
    expect(await names()).toEqual(['queued by where', 'queued by where'])
  },
)

test('only children are indexed: the parent’s repository reaches them', async () => {
  const { Animal, dog, cat, entities } = family({ parent: false, children: true })
  app = await startShapes(entities)
  await app.dataSource.manager.save([dog('Rex'), cat('Tom')])
  await app.redstream.bulkQueue(Animal, {})
  expect([await app.ids('dogs'), await app.ids('cats')]).toEqual([['1'], ['2']])
})

test('an EntitySchema without a class, and one of another schema with the same name that is not indexed', async () => {
  interface Product {
    id: number
    name: string
  }
  const columns = { id: { type: 'int', primary: true, generated: true }, name: { type: 'text' } } as const
  const Product = new EntitySchema<Product>({ name: 'Product', columns })
  const Other = new EntitySchema<Product>({ name: 'Product', columns })
  const Order = new EntitySchema<Product>({ name: 'Order', tableName: 'orders', columns })
  Indexed<Product>({ index: indexNamed('products'), payload: ({ name }) => ({ name }) })(Product)
  Indexed<Product>({ index: indexNamed('orders') })(Order)
  app = await startShapes([Product, Order])
  const repository = app.dataSource.getRepository(Product)
  const row = await repository.save({ name: 'Nut' })
  expect(await app.documents('products')).toEqual([{ id: '1', body: { id: 1, name: 'Nut' } }])
  await repository.save({ ...row, name: 'Bolt' })
  await app.redstream.bulk(Product, { id: 1 }, () => repository.update({ id: 1 }, { name: 'Screw' }))
  expect(await app.documents('products')).toEqual([{ id: '1', body: { id: 1, name: 'Screw' } }])
  await repository.remove({ ...row })
  expect(await app.ids('products')).toEqual([])
  await app.dispose()

  app = await startShapes([Other, Order])
  await app.dataSource.getRepository(Other).save({ name: 'Nut' })
  await expect(app.redstream.touch(Other, 1)).rejects.toThrow('Product is not indexed; put @Indexed() on it')
})

test('an EntitySchema with a class', async () => {
  class Tool {
    id!: number
    name!: string
  }
  const ToolSchema = new EntitySchema<Tool>({
    name: 'Tool',
    target: Tool,
    columns: { id: { type: 'int', primary: true, generated: true }, name: { type: 'text' } },
  })
  Indexed<Tool>({ index: indexNamed('tools') })(ToolSchema)
  app = await startShapes([ToolSchema])
  const saw = await app.dataSource.manager.save(Object.assign(new Tool(), { name: 'saw' }))
  expect(await app.documents('tools')).toEqual([{ id: '1', body: { id: 1, name: 'saw' } }])
  await app.dataSource.manager.remove(saw)
  expect(await app.ids('tools')).toEqual([])
})
