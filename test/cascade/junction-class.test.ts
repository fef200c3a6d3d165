import { Column, Entity, JoinTable, ManyToMany, PrimaryColumn, type Relation } from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed } from '../support/shapes.ts'
import { workshop, type Workshop } from '../support/workshop.ts'

/** A many-to-many relation whose junction table has a class of its own, with properties of its own. */

@Entity()
class Label {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  text!: string
}

@Indexed<Post>({ index: indexNamed('posts'), relations: { labels: true } })
@Entity()
class Post {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToMany(() => Label)
  @JoinTable({
    name: 'post_labels',
    joinColumn: { name: 'post_id' },
    inverseJoinColumn: { name: 'label_id' },
  })
  labels!: Relation<Label>[]
}

@Entity({ name: 'post_labels' })
class PostLabel {
  @PrimaryColumn({ type: 'int', name: 'post_id' })
  postId!: number

  @PrimaryColumn({ type: 'int', name: 'label_id' })
  labelId!: number
}

@Entity({ name: 'post_labels', synchronize: false })
class LabelOfPost {
  @PrimaryColumn({ type: 'int', name: 'post_id' })
  postId!: number

  @Column({ type: 'int', name: 'label_id' })
  labelId!: number
}

let app: Workshop

beforeEach(async () => {
  app = await workshop([Label, Post, PostLabel, LabelOfPost])
  app.start('consumer')
  await app.save(Label, { id: 1, text: 'a' }, { id: 2, text: 'b' })
  await app.save(Post, { id: 1, labels: [{ id: 1 }] }, { id: 2, labels: [] })
  await app.redstream.drained()
})
afterEach(() => app.dispose())

test.each<[string, () => Promise<unknown>, { id: number }[]]>([
  [
    'insert',
    () => app.dataSource.manager.insert(PostLabel, { postId: 1, labelId: 2 }),
    [{ id: 1 }, { id: 2 }],
  ],
  ['save', () => app.dataSource.manager.save(PostLabel, { postId: 1, labelId: 2 }), [{ id: 1 }, { id: 2 }]],
  ['delete(criteria)', () => app.dataSource.manager.delete(PostLabel, { postId: 1 }), []],
  [
    'remove',
    async () => {
      const { manager } = app.dataSource
      await manager.remove(await manager.findOneByOrFail(PostLabel, { postId: 1 }))
    },
    [],
  ],
  [
    'update of the key',
    () => app.dataSource.manager.update(PostLabel, { postId: 1 }, { labelId: 2 }),
    [{ id: 2 }],
  ],
])('%s', async (_, write, labels) => {
  expect(await app.touchedBy('posts', write)).toEqual(['1'])
  expect((await app.documents('posts'))['1']).toMatchObject({ labels })
})

test('a class that takes other columns for the key: what it writes is reported', async () => {
  const { manager } = app.dataSource
  await manager.update(LabelOfPost, { postId: 1 }, { labelId: 2 })
  expect(app.log).toMatchObject([
    { level: 'warn', message: expect.stringContaining('an update that names no ids') },
  ])
})
