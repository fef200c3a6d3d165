import { afterEach, beforeEach, expect, test } from 'vitest'

import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { LogPart } from '../../src/wal/log-part.ts'
import { lookAtSlot } from '../../src/wal/slot.ts'
import { recordingLogger } from '../support/captured.ts'
import type { Program } from './support/program.ts'
import { waitUntil } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let pipeline: Pipeline
let part: LogPart

beforeEach(async () => {
  world = await World.open()
  const { redisUrl: redis, elasticsearchUrl: elasticsearch, namespace } = world.space
  const settings = settingsFrom({ namespace, capture: 'wal', captureSchema: namespace })
  pipeline = await openPipeline(
    { dataSource: world.dataSource, redis, elasticsearch, settings },
    recordingLogger([]),
  )
  part = new LogPart(pipeline.log!)
  await part.apply()
})
afterEach(async () => {
  await part?.remove('everything')
  await pipeline?.close()
  await world?.dispose()
})

const follower = (): Promise<Program> =>
  world.start('follower', {
    REDSTREAM_CAPTURE: 'wal',
    REDSTREAM_CAPTURE_SCHEMA: world.space.namespace,
  })

const reader = async () => (await lookAtSlot(world.dataSource, pipeline.log!.names.slot)).slot?.reader?.pid

const readerIs = (pid: number | undefined): Promise<void> =>
  waitUntil(
    async () => ![undefined, pid].includes(await reader()),
    () => 'no other follower reads',
  )

/** Writes rows, each in a transaction of its own, as a program does that knows nothing of Redstream. */
async function write(first: number, count: number): Promise<void> {
  for (let id = first; id < first + count; id++)
    await world.dataSource.query(`INSERT INTO "${world.space.schema}".cities VALUES ($1, 'raw', 1)`, [id])
}

const ids = async (): Promise<Set<number>> => new Set((await world.ids('main')).map(Number))

async function allAreTold(by: Program, count: number): Promise<void> {
  await by.until(async () => (await ids()).size === count, 'has not told of every row')
}

test('one reads, the other stands by and takes over when it is killed: every row is told', async () => {
  const first = await follower()
  await readerIs(undefined)
  const second = await follower()
  await second.logged('standing by')
  const before = await reader()
  const written = write(1, 500)
  await first.until(async () => (await ids()).size > 50, 'has told nothing')
  await first.kill()
  await readerIs(before)
  await written
  await allAreTold(second, 500)
  expect(second.hasEnded).toBe(false)
})

test('killed again and again under load: every row is told', async () => {
  const count = 3_000
  const written = write(1, count)
  for (let kills = 0; kills < 4; kills++) {
    const running = await follower()
    const before = (await ids()).size
    await running.until(
      async () => (await ids()).size > Math.min(before + 100, count - 1),
      'has told nothing',
    )
    await running.kill()
  }
  const last = await follower()
  await written
  await allAreTold(last, count)
  last.signal('SIGTERM')
  expect((await last.exit).code).toBe(0)
})

test('the database ends its connection again and again: it connects anew', async () => {
  const running = await follower()
  const written = write(1, 300)
  for (let ends = 0; ends < 3; ends++) {
    await readerIs(undefined)
    await world.dataSource.query('SELECT pg_terminate_backend($1)', [await reader()])
  }
  await written
  await allAreTold(running, 300)
  expect(running.hasEnded).toBe(false)
})
