import { DataSource } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { PostgresTransactionStates } from '../../src/sync/transaction-states.ts'
import { recordingLogger } from '../support/captured.ts'
import { cityEntity } from '../support/city.ts'
import { drivers, skipWithout, testDatabase } from '../support/databases.ts'
import { testSpace } from '../support/services.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

test.for(drivers)(
  '%s: delay messages name their transaction where it can be asked about',
  async (driver, context) => {
    skipWithout(driver, context)
    const space = await testSpace()
    closers.push(() => space.dispose())
    const database = await testDatabase(driver, space)
    closers.push(() => database.dispose())
    const City = cityEntity(space.indexPrefix)
    const dataSource = await new DataSource({ ...database.options([City]), synchronize: true }).initialize()
    closers.push(() => dataSource.destroy())
    const redstream = await Redstream.attach(dataSource, {
      redis: space.redisUrl,
      namespace: space.namespace,
      logger: recordingLogger([]),
    })
    closers.push(() => redstream.close())

    const [partition] = partitionsOf(space.namespace, `${space.indexPrefix}cities`, 1)
    const fields = async (): Promise<string[]> =>
      (await space.redis().xrange(partition!.keys.delay, '-', '+')).flatMap(([, all]) => all.slice(0, 1))
    const first = driver === 'postgres' ? 'transaction' : 'id'
    await dataSource.transaction(async (manager) => {
      await manager.save(Object.assign(new City(), { name: 'Rome', population: 0 }))
      await expect.poll(fields).toEqual([first])
    })
    await expect.poll(fields).toEqual([])
    // Without it the Delayer goes by age alone.
    const states = PostgresTransactionStates.of(dataSource, recordingLogger([]))
    expect(states === undefined).toBe(driver !== 'postgres')
  },
)
