import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'
import { expect, it, onTestFinished } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { auditGroup, partitionsOf } from '../../src/streams/keys.ts'
import { readGroups } from '../../src/streams/replies.ts'
import { defineScripts } from '../../src/streams/scripts.ts'
import { Trimmer } from '../../src/streams/trimmer.ts'
import { recordingLogger } from '../support/captured.ts'
import { testSpace } from '../support/services.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { auditApplication } from './stage.ts'

it('goes on when its Redis is away for a while: what it has not read is kept for it', async () => {
  const space = await testSpace()
  const stream = `${space.indexPrefix}notes`
  @Indexed({ index: stream })
  @Entity({ name: 'notes' })
  class Note {
    @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
    @Column({ type: 'text' }) name!: string
  }
  const proxy = await TcpProxy.to(space.redisUrl)
  const { hostname, port } = new URL(space.redisUrl)
  const app = await auditApplication(
    space,
    [Note],
    space.redisUrl.replace(`${hostname}:${port}`, `127.0.0.1:${proxy.port}`),
  )
  onTestFinished(async () => {
    await app.dispose()
    await proxy.close()
  })
  const redis = space.redis()
  defineScripts(redis)
  const partitions = partitionsOf(space.namespace, stream, 1)
  const { main } = partitions[0]!.keys
  const { namespace } = space
  const logger = recordingLogger([])
  const trimmer = new Trimmer({
    redis,
    namespace,
    partitions,
    groups: [],
    retentionMs: 0,
    intervalMs: 1_000,
    logger,
  })
  const save = (name: string): Promise<object> =>
    app.dataSource.manager.save(Object.assign(new Note(), { name }))

  const audit = await app.audit('trigger', 60_000)
  await save('before')
  // It is read, and nobody else needs it.
  await expect.poll(async () => (await trimmer.runOnce()).trimmed).toBe(1)
  await proxy.refuse()
  for (let i = 0; i < 20; i++) await save(`meanwhile ${i}`)
  await expect.poll(() => redis.xlen(main)).toBe(20)
  expect(await trimmer.runOnce()).toMatchObject({ trimmed: 0, heldBackBy: { [main]: auditGroup } })
  await proxy.accept()
  await audit.seen(21)
  expect(await audit.finish()).toMatchObject({ changes: 21, told: 21, missed: 0, waiting: 0 })
  expect(await readGroups(redis, main)).toEqual([])
})
