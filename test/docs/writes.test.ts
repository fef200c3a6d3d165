import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { Redstream, type AttachOptions } from '../../src/redstream.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { section, tableRows } from './markdown.ts'
import { Author, Post, Tag, writes, type Scene } from './writes.ts'

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  Indexed<Post>({ index: `${space.indexPrefix}posts`, stream: 'posts' })(Post)
  const options = space.dataSourceOptions([Author, Post, Tag])
  dataSource = await new DataSource({ ...options, synchronize: true }).initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

let attached = 0

async function attach(
  log: LogLine[],
  options: AttachOptions,
): Promise<{ namespace: string; redstream: Redstream }> {
  const namespace = `${space.namespace}-${attached++}`
  const logger = recordingLogger(log)
  const redstream = await Redstream.attach(dataSource, {
    redis: space.redisUrl,
    namespace,
    logger,
    ...options,
  })
  return { namespace, redstream }
}

async function newScene(): Promise<Scene> {
  const { manager } = dataSource
  await manager.query('TRUNCATE posts, authors, tags CASCADE')
  const [red, blue] = await manager.save(Tag, [{ name: 'red' }, { name: 'blue' }])
  const author = await manager.save(Author, { name: 'Ann' })
  const posts = manager.create(
    Post,
    ['a', 'b'].map((title) => ({ title, author, tags: [red!] })),
  )
  await manager.save(posts)
  const loaded = await manager.findOneOrFail(Author, { where: {}, relations: { posts: true } })
  return {
    manager,
    author: loaded,
    tags: [red!, blue!] as [Tag, Tag],
    posts: posts as [Post, Post],
    title: 'new',
  }
}

/** Every row of posts and of its junction, with the transaction that wrote it last. */
async function rowVersions(): Promise<unknown> {
  const rows: unknown[] = []
  for (const table of ['posts', 'posts_tags_tags']) {
    rows.push(await dataSource.query(`SELECT ctid::text, xmin::text FROM ${table} ORDER BY ctid`))
  }
  return rows
}

/** What Redstream does about a write, in the words of the table. */
async function outcomeOf(write: (scene: Scene) => Promise<unknown>, inside: boolean): Promise<string> {
  const scene = await newScene()
  const log: LogLine[] = []
  // Delay messages stay, so that they can be looked for afterwards.
  const { namespace, redstream } = await attach(log, { delay: { requeue: 'always' } })
  const before = await rowVersions()
  try {
    if (inside) await dataSource.transaction((manager) => write({ ...scene, manager }))
    else await write(scene)
  } finally {
    await redstream.close()
  }
  const written = JSON.stringify(before) !== JSON.stringify(await rowVersions())
  const { keys } = partitionsOf(namespace, 'posts', 1)[0]!
  const redis = space.redis()
  const published = (await redis.xlen(keys.main)) > 0
  const delayed = (await redis.xlen(keys.delay)) > 0
  const reported = log.some(({ message }) => message.includes('names no ids'))
  expect({ published, reported }).not.toEqual({ published: true, reported: true })
  if (reported) return 'reported'
  if (!published) return written ? 'not seen' : 'nothing'
  return delayed ? 'safe' : 'at once'
}

describe('the table of writes in docs/guarantees.md', () => {
  const table = tableRows(section('docs/guarantees.md', 'Which writes are seen'))
  const documented = new Map(
    table.map(([call = '', outside, inside]) => [call.replaceAll('`', ''), { outside, inside }]),
  )

  test('names the calls that are tried here', () => {
    expect([...documented.keys()]).toEqual(Object.keys(writes))
  })

  test.each(Object.entries(writes))('%s', async (call, write) => {
    const found = { outside: await outcomeOf(write, false), inside: await outcomeOf(write, true) }
    expect(found).toEqual(documented.get(call))
  })
})

describe('uncaptured: throw, when nothing but events is heard', () => {
  test.each([
    'update(id, values)',
    'increment(where)',
    'delete(id)',
    'softDelete(id)',
    'createQueryBuilder().relation(manyToOne).set()',
    'save(parent) without one of its children',
  ])('%s is refused before its statement', async (call) => {
    const scene = await newScene()
    const before: unknown = await dataSource.query('SELECT * FROM posts ORDER BY id')
    const { redstream } = await attach([], { uncaptured: 'throw', returning: 'off' })
    try {
      await expect(writes[call]!(scene)).rejects.toMatchObject({ code: 'ENTITY' })
    } finally {
      await redstream.close()
    }
    expect(await dataSource.query('SELECT * FROM posts ORDER BY id')).toEqual(before)
  })

  test.each(['save(new, { reload: false })', 'insert().updateEntity(false)'])(
    '%s: its id is missing only afterwards, so it is reported',
    async (call) => {
      const scene = await newScene()
      const log: LogLine[] = []
      const { redstream } = await attach(log, { uncaptured: 'throw', returning: 'off' })
      try {
        await writes[call]!(scene)
      } finally {
        await redstream.close()
      }
      expect(log.map(({ level }) => level)).toEqual(['warn'])
    },
  )
})

test('uncaptured: ignore says nothing', async () => {
  const scene = await newScene()
  const log: LogLine[] = []
  const { redstream } = await attach(log, { uncaptured: 'ignore', returning: 'off' })
  try {
    await writes['update(id, values)']!(scene)
  } finally {
    await redstream.close()
  }
  expect(log).toEqual([])
})

describe('transactions that TypeORM does not know of, or ends in its own way', () => {
  const idsIn = async (namespace: string, lane: 'main' | 'delay'): Promise<number> =>
    space.redis().xlen(partitionsOf(namespace, 'posts', 1)[0]!.keys[lane])

  test('BEGIN by hand: published before the commit', async () => {
    await newScene()
    const { namespace, redstream } = await attach([], { delay: { requeue: 'always' } })
    const queryRunner = dataSource.createQueryRunner()
    try {
      await queryRunner.query('BEGIN')
      await queryRunner.manager.insert(Post, { title: 'new' })
      expect(await dataSource.manager.countBy(Post, { title: 'new' })).toBe(0)
      expect(await idsIn(namespace, 'main')).toBe(1)
      expect(await idsIn(namespace, 'delay')).toBe(0)
      await queryRunner.query('COMMIT')
    } finally {
      await queryRunner.release()
      await redstream.close()
    }
  })

  test('await using: what it commits is published', async () => {
    await newScene()
    const { namespace, redstream } = await attach([], {})
    const failed = async (): Promise<void> => {
      await using queryRunner = dataSource.createQueryRunner()
      await queryRunner.startTransaction()
      await queryRunner.manager.insert(Post, { title: 'new' })
      throw new Error('left')
    }
    try {
      await expect(failed()).rejects.toThrow('left')
    } finally {
      await redstream.close()
    }
    expect(await dataSource.manager.countBy(Post, { title: 'new' })).toBe(1)
    expect(await idsIn(namespace, 'main')).toBe(1)
  })
})
