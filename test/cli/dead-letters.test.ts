import path from 'node:path'

import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { createProject, type Project } from '../support/project.ts'

const root = path.join(import.meta.dirname, '../..')

/** A project whose configuration indexes the same table as the test's application. */
function projectOf(app: Pipelined): Project {
  return createProject({
    'redstream.ts': `
      import { defineConfig, Indexed } from 'redstream'
      import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'
      @Indexed({ index: '${app.index}' })
      @Entity({ name: 'cities' })
      class City {
        @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
        @Column({ type: 'text' }) name!: string
        @Column({ type: 'integer' }) population!: number
      }
      const url = process.env.DATABASE_URL
      export default defineConfig({
        dataSource: new DataSource({ type: 'postgres', url, schema: '${app.space.schema}', entities: [City] }),
        namespace: '${app.space.namespace}',
      })`,
  })
}

describe('redstream dead-letters', () => {
  let app: Pipelined
  let project: Project

  beforeEach(async () => {
    app = await pipelined({}, { mappings: { properties: { population: { type: 'byte' } } } })
    project = projectOf(app)
  })
  afterEach(async () => {
    project.dispose()
    await app.dispose()
  })

  const run = async (...args: string[]): Promise<string> => {
    const command = [path.join(root, 'bin/redstream.js'), 'dead-letters', ...args, '--config', 'redstream.ts']
    const { stdout } = await execa(process.execPath, command, { cwd: project.directory })
    return stdout
  }
  const letters = async (...args: string[]): Promise<{ id: string }[]> =>
    JSON.parse(await run('list', '--json', ...args)) as { id: string }[]

  // Many processes, one after the other.
  test('list says what, why and how often; filters choose; retry cures mended rows; discard forgets', async () => {
    app.start('consumer')
    const make = (name: string, population: number): object => Object.assign(app.city(name), { population })
    const repository = app.dataSource.getRepository(app.City)
    await repository.save([make('large', 1_000), make('larger', 2_000), make('good', 1)])
    await app.redstream.drained()

    const all = await letters()
    expect(all).toHaveLength(2)
    expect(all[0]).toEqual({
      stream: app.index,
      id: expect.any(String),
      type: 'document_parsing_exception',
      reason: expect.stringContaining('population'),
      attempts: 1,
      firstAt: expect.stringMatching(/^\d{4}-.*Z$/),
      lastAt: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    const ids = all.map(({ id }) => id).toSorted()
    expect(await letters('--id', ids[0]!)).toHaveLength(1)
    expect(await letters('--type', 'document_failed')).toEqual([])
    expect(await run('list')).toContain('document_parsing_exception')

    // Not mended: another attempt is counted. Mended without an event: indexed, and the letter is gone.
    await app.dataSource.query('UPDATE cities SET population = 5 WHERE id = $1', [ids[0]])
    expect(await run('retry', '--all')).toBe('2 dead letters queued again')
    await app.redstream.drained()
    expect(await letters()).toEqual([expect.objectContaining({ id: ids[1], attempts: 2 })])
    expect(await app.document(ids[0]!)).toMatchObject({ population: 5 })

    expect(await run('discard', '--id', ids[1]!)).toBe('1 dead letter discarded')
    expect(await letters()).toEqual([])
  }, 180_000)

  test('retry and discard want to know which', async () => {
    await expect(run('discard')).rejects.toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--stream, --type or --id, or --all'),
    })
  })
})

test('a letter beyond the cap is never dropped in silence: its row is not acknowledged, and an alarm is logged', async () => {
  const app = await pipelined(
    { deadLetterCap: 2 },
    { mappings: { properties: { population: { type: 'byte' } } } },
  )
  try {
    const redis = app.space.redis()
    const letter = JSON.stringify({ type: 'test', reason: 'test', attempts: 1, firstAt: 1, lastAt: 1 })
    await redis.hset(app.partition.keys.deadLetters, { 'old 1': letter, 'old 2': letter })
    app.start('consumer')
    const [bad, good] = await app.dataSource.manager.save([
      Object.assign(app.city('bad'), { population: 1_000 }),
      app.city('good'),
    ])
    await expect
      .poll(() => app.workerLog.some(({ message }) => message.includes('dead letters are full')))
      .toBe(true)
    expect(await app.document(good!.id)).toBeDefined()
    await expect.poll(async () => (await redis.xpending(app.partition.keys.main, 'index'))[0]).toBe(1)
    await redis.hdel(app.partition.keys.deadLetters, 'old 1')
    await app.redstream.drained()
    expect(await redis.hkeys(app.partition.keys.deadLetters)).toContain(String(bad!.id))
  } finally {
    await app.dispose()
  }
})
