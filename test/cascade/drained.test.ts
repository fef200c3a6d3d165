import { Column, Entity, ManyToOne, OneToMany, PrimaryColumn, type Relation } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed } from '../support/shapes.ts'
import { workshop, type Workshop } from '../support/workshop.ts'

@Indexed<Author>({ index: indexNamed('authors'), relations: { books: true } })
@Entity()
class Author {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @OneToMany(() => Book, (book) => book.author)
  books!: Relation<Book>[]
}

@Indexed<Book>({ index: indexNamed('books'), relations: { author: true } })
@Entity()
class Book {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  title!: string

  @ManyToOne(() => Author, (author) => author.books)
  author!: Relation<Author> | null
}

let app: Workshop
afterEach(() => app.dispose())

test('entities that embed each other are drained when nothing is left in the streams of both', async () => {
  app = await workshop([Author, Book])
  app.start('consumer')
  await app.save(Author, { id: 1, name: 'n' })
  await app.save(Book, { id: 1, title: 't', author: { id: 1 } })
  await app.redstream.drained()
  const left: unknown[] = []
  for (let n = 0; n < 200; n++) {
    const { manager } = app.dataSource
    if (n % 2 === 0) await manager.update(Author, 1, { name: `n${n}` })
    else await manager.update(Book, 1, { title: `t${n}` })
    await app.redstream.drained()
    for (const index of ['authors', 'books']) {
      const [partition] = await app.redstream.inspect(`${app.space.indexPrefix}${index}`)
      const { main, bulk } = partition!
      const groups = [...main.groups, ...bulk.groups]
      left.push(...groups.filter(({ pending, undelivered }) => pending > 0 || undelivered !== 0))
    }
  }
  expect(left).toEqual([])
})
