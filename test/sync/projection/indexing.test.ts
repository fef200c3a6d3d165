import { Column, DeleteDateColumn, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { indexNamed, startShapes, type Shapes } from '../../support/shapes.ts'

@Entity()
class Author {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar' })
  name!: string
}

@Entity()
@Indexed<Book>({ index: indexNamed('books'), relations: { author: true } })
class Book {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar' })
  title!: string

  @Column({ type: 'double precision', nullable: true })
  weight!: number | null

  @Column({ type: 'int', nullable: true })
  sold!: number | string | null

  @ManyToOne(() => Author)
  author!: Relation<Author> | null

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null
}

let shapes: Shapes

beforeAll(async () => {
  shapes = await startShapes([Author, Book])
})
afterAll(() => shapes.dispose())

const bodies = async (): Promise<unknown[]> => (await shapes.documents('books')).map(({ body }) => body)

test('documents made by the database follow their rows; rows of odd values go the way through entities', async () => {
  const { dataSource, pipeline } = shapes
  const explained = await pipeline.explainDocuments('Book')
  expect(explained).toMatchObject([{ entity: 'Book', madeBy: 'database', because: [] }])

  const author = { id: 1, name: 'Ada' }
  await dataSource.manager.save(Author, author)
  await dataSource.manager.save(Book, [
    { id: 1, title: 'a "b"\n', weight: 0.1, sold: 3, author },
    { id: 2, title: 'huge', weight: 1e300, author: null },
    { id: 3, title: 'nowhere', weight: null },
  ])
  const first = { id: 1, title: 'a "b"\n', weight: 0.1, sold: 3, deletedAt: null, author }
  const second = { id: 2, title: 'huge', weight: 1e300, sold: null, deletedAt: null, author: null }
  const third = { id: 3, title: 'nowhere', weight: null, sold: null, deletedAt: null, author: null }
  expect(await bodies()).toEqual([first, second, third])

  await dataSource.manager.update(Author, 1, { name: 'Bea' })
  await dataSource.manager.softDelete(Book, 3)
  expect(await bodies()).toEqual([{ ...first, author: { id: 1, name: 'Bea' } }, second])
  await dataSource.manager.delete(Book, 2)
  expect(await bodies()).toHaveLength(1)
  expect(await shapes.letters('books')).toEqual({})
})

test('a column that gets another type while the workers run has the JSON of entities from then on', async () => {
  const { dataSource, pipeline } = shapes
  await dataSource.manager.delete(Book, { title: 'a "b"\n' })
  await dataSource.manager.save(Book, { id: 10, title: 'before', sold: 3 })
  expect(await bodies()).toMatchObject([{ sold: 3 }])
  await dataSource.query('ALTER TABLE book ALTER sold TYPE bigint')
  await dataSource.manager.save(Book, { id: 10, title: 'after' })
  // The driver gives a bigint as text.
  expect(await bodies()).toMatchObject([{ title: 'after', sold: '3' }])
  await dataSource.manager.save(Book, { id: 10, title: 'again' })
  expect(await bodies()).toMatchObject([{ title: 'again', sold: '3' }])
  expect(await pipeline.explainDocuments('Book')).toMatchObject([{ madeBy: 'database' }])
})

test('whoever subscribes to afterLoad while the workers run has a say in the documents', async () => {
  const { dataSource } = shapes
  await dataSource.manager.save(Book, { id: 11, title: 'plain' })
  await shapes.documents('books')
  dataSource.subscribers.push({
    listenTo: () => Book,
    afterLoad: (book: Book) => void (book.title = book.title.toUpperCase()),
  })
  await dataSource.query(`UPDATE book SET title = 'loud' WHERE id = 11`)
  await shapes.redstream.touch(Book, [11])
  const found = await shapes.documents('books')
  expect(found.find(({ id }) => id === '11')?.body).toMatchObject({ title: 'LOUD' })
  expect(await shapes.pipeline.explainDocuments('Book')).toMatchObject([
    { madeBy: 'entities', because: ['Book has a listener or subscriber for afterLoad'] },
  ])
})

test('explain documents knows an index, an entity and a table, and nothing else', async () => {
  const { pipeline } = shapes
  const [name] = pipeline.indices
  expect(await pipeline.explainDocuments(name!)).toEqual(await pipeline.explainDocuments('book'))
  await expect(pipeline.explainDocuments('Boök')).rejects.toMatchObject({ code: 'USAGE' })
})
