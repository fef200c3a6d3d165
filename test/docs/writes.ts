import {
  Column,
  DeleteDateColumn,
  Entity,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type EntityManager,
  type Relation,
} from 'typeorm'

@Entity({ name: 'authors' })
export class Author {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @OneToMany(() => Post, (post) => post.author, { cascade: true })
  posts!: Relation<Post>[]
}

@Entity({ name: 'tags' })
export class Tag {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', unique: true })
  name!: string
}

@Entity({ name: 'posts' })
export class Post {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', unique: true })
  title!: string

  @Column({ type: 'integer', default: 0 })
  visits!: number

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null

  @ManyToOne(() => Author, (author) => author.posts, { onDelete: 'CASCADE' })
  author!: Relation<Author> | null

  @ManyToMany(() => Tag)
  @JoinTable()
  tags!: Tag[]
}

/** What a write finds: two posts of one author, with one of two tags. */
export interface Scene {
  readonly manager: EntityManager
  readonly author: Author
  readonly tags: readonly [Tag, Tag]
  readonly posts: readonly [Post, Post]
  /** A title that no post has. */
  readonly title: string
}

const build = ({ manager }: Scene) => manager.createQueryBuilder()
const values = ({ title }: Scene) => ({ title, visits: 1 })

/** The calls of the table in docs/guarantees.md by their text there. */
export const writes: Record<string, (scene: Scene) => Promise<unknown>> = {
  'save(new)': (scene) => scene.manager.save(Post, values(scene)),
  'save(changed)': ({ manager, posts }) => manager.save(Post, { id: posts[0].id, visits: 7 }),
  'save(unchanged)': ({ manager, posts }) => manager.save(posts[0]),
  'remove(entity)': ({ manager, posts }) => manager.remove(posts[0]),
  'softRemove(entity)': ({ manager, posts }) => manager.softRemove(posts[0]),
  'recover(entity)': async ({ manager, posts }) => {
    await manager.query('UPDATE posts SET "deletedAt" = now()')
    await manager.recover(posts[0])
  },
  'save(parent) with cascaded children': ({ manager, author, posts, title }) =>
    manager.save(Object.assign(author, { posts: [...posts, manager.create(Post, { title })] })),
  'save(entity, { transaction: false })': (scene) =>
    scene.manager.save(Post, values(scene), { transaction: false }),
  'save(new, { reload: false })': (scene) => scene.manager.save(Post, values(scene), { reload: false }),
  'save(entity, { listeners: false })': (scene) =>
    scene.manager.save(Post, values(scene), { listeners: false }),
  'save(parent) without one of its children': ({ manager, author, posts }) =>
    manager.save(Object.assign(author, { posts: [posts[0]] })),
  'save(entity) with other many-to-many tags': ({ manager, posts, tags }) =>
    manager.save(Object.assign(posts[0], { tags: [tags[1]] })),
  'insert(values)': (scene) => scene.manager.insert(Post, [values(scene), { title: `${scene.title}2` }]),
  'upsert(values, [title])': ({ manager, posts }) =>
    manager.upsert(Post, { title: posts[0].title, visits: 9 }, ['title']),
  'insert().updateEntity(false)': (scene) =>
    build(scene).insert().into(Post).values(values(scene)).updateEntity(false).execute(),
  'insert().orIgnore() of a row that exists': (scene) =>
    build(scene).insert().into(Post).values({ title: scene.posts[0].title }).orIgnore().execute(),
  'update(id, values)': ({ manager, posts }) => manager.update(Post, posts[0].id, { visits: 5 }),
  'update(id, { …entity })': ({ manager, posts }) =>
    manager.update(Post, posts[0].id, { id: posts[0].id, visits: 6 }),
  'update(where, values)': ({ manager }) => manager.update(Post, { visits: 0 }, { visits: 5 }),
  'increment(where)': ({ manager }) => manager.increment(Post, { visits: 0 }, 'visits', 1),
  'updateAll(values)': ({ manager }) => manager.updateAll(Post, { visits: 5 }),
  'delete(id)': ({ manager, posts }) => manager.delete(Post, posts[0].id),
  'softDelete(id)': ({ manager, posts }) => manager.softDelete(Post, posts[0].id),
  'restore(id)': ({ manager, posts }) => manager.restore(Post, posts[0].id),
  'createQueryBuilder().update()': (scene) =>
    build(scene).update(Post).set({ visits: 5 }).whereInIds([scene.posts[0].id]).execute(),
  'createQueryBuilder().delete()': (scene) =>
    build(scene).delete().from(Post).where({ id: scene.posts[0].id }).execute(),
  'createQueryBuilder().relation(manyToOne).set()': (scene) =>
    build(scene).relation(Post, 'author').of(scene.posts[0].id).set(null),
  'createQueryBuilder().relation(manyToMany).add()': (scene) =>
    build(scene).relation(Post, 'tags').of(scene.posts[0].id).add(scene.tags[1].id),
  'update().callListeners(false)': (scene) =>
    build(scene).update(Post).set({ visits: 5 }).where({ visits: 0 }).callListeners(false).execute(),
  'query(sql)': ({ manager }) => manager.query('UPDATE posts SET visits = 5'),
  'clear()': ({ manager }) => manager.query('TRUNCATE posts CASCADE'),
  'ON DELETE CASCADE': async ({ manager, author }) =>
    // Loaded without its posts: the database deletes them, not TypeORM.
    manager.remove(await manager.findOneByOrFail(Author, { id: author.id })),
}
