import { DataSource } from 'typeorm'
import { expect, test } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { decodeMessages } from '../../src/streams/message.ts'
import { captured, published, recordingLogger } from '../support/captured.ts'
import { cityEntity } from '../support/city.ts'
import { testDatabase } from '../support/databases.ts'
import { testSpace } from '../support/services.ts'

// Consumers of payloads take the last message of a row for its state.
const payload = ({ name }: { name: string }): { name: string } => ({ name })

test('what is queued by hand right after a save comes after it', async () => {
  const app = await captured({}, { payload })
  try {
    const city = await app.dataSource.manager.save(app.city('first'))
    await app.redstream.touch(app.City, Object.assign(city, { name: 'second' }))
    expect((await app.messages('main')).map((message) => message.payload)).toEqual([
      '{"name":"first"}',
      '{"name":"second"}',
    ])
  } finally {
    await app.dispose()
  }
})

test('SQLite, which answers at once: a write outside a transaction comes after the save before it', async () => {
  const space = await testSpace()
  const database = await testDatabase('better-sqlite3', space)
  const City = cityEntity(space.indexPrefix, { payload })
  const dataSource = await new DataSource({ ...database.options([City]), synchronize: true }).initialize()
  const redstream = await Redstream.attach(dataSource, {
    redis: space.redisUrl,
    namespace: space.namespace,
    logger: recordingLogger([]),
  })
  try {
    const city = await dataSource.manager.save(Object.assign(new City(), { name: 'first' }))
    await dataSource.manager.save(Object.assign(city, { name: 'second' }), { transaction: false })
    await published(redstream)
    const [partition] = partitionsOf(space.namespace, `${space.indexPrefix}cities`, 1)
    const entries = await space.redis().xrange(partition!.keys.main, '-', '+')
    const payloads = entries.flatMap(([, fields]) => decodeMessages(fields).map((message) => message.payload))
    // That of the statement, which has none, and that of its event.
    expect(payloads).toEqual(['{"name":"first"}', undefined, '{"name":"second"}'])
  } finally {
    await redstream.close()
    await dataSource.destroy()
    await database.dispose()
    await space.dispose()
  }
})
