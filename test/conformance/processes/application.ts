/**
 * An application that writes, and dies at a certain point or when it is told to.
 *
 * Run: node application.ts SCENARIO
 */
import { Redstream } from '../../../src/redstream.ts'
import { Booking, Offer, Owner, Photo, Shop, shopDatabase } from '../shop.ts'
import { placeFromEnvironment } from './place.ts'
import { writeSteadily } from './steady-writes.ts'

const { databaseUrl, redisUrl, schema, settings } = placeFromEnvironment()
const dataSource = await shopDatabase(databaseUrl, schema).initialize()
const attach = (): Promise<Redstream> => Redstream.attach(dataSource, { redis: redisUrl, ...settings })

const scenarios: Record<string, () => Promise<void>> = {
  'killed before its commit': async () => {
    await attach()
    await writeMuch(die)
  },
  'killed after its commit': async () => {
    // Before Redstream, which then never hears of the commit.
    dataSource.subscribers.push({ afterTransactionCommit: die })
    await attach()
    await writeMuch(() => undefined)
  },
  'writes until SIGTERM': async () => {
    const stop = new AbortController()
    process.once('SIGTERM', () => stop.abort())
    const redstream = await attach()
    process.stderr.write(`${JSON.stringify({ level: 'info', msg: 'the application is writing' })}\n`)
    await writeSteadily(dataSource, process.pid, stop.signal)
    await redstream.close()
    await dataSource.destroy()
  },
}

const scenario = scenarios[process.argv[2] ?? '']
if (scenario === undefined) throw new Error(`no such scenario: ${process.argv[2]}`)
await scenario()

/** Writes of every kind in one transaction, to the rows that the test has made. */
async function writeMuch(last: () => void): Promise<void> {
  await dataSource.transaction(async (manager) => {
    const [shop, other] = await manager.find(Shop, {
      where: { name: 'crash' },
      relations: { offers: true, owner: true },
      order: { id: 'ASC' },
    })
    await manager.save(Object.assign(shop!.owner!, { name: 'written' }))
    await manager.update(Offer, { shop: { id: shop!.id } }, { shop: other! })
    await manager.delete(Photo, { shop: { id: other!.id } })
    await manager.update(Booking, { room: 'crash' }, { guest: 'written' })
    await manager.insert(
      Booking,
      Array.from({ length: 2_000 }, (_, i) => ({ room: 'crash', day: i + 10, guest: 'new' })),
    )
    await manager.save(Owner, { name: 'last' })
    last()
  })
}

function die(): void {
  process.kill(process.pid, 'SIGKILL')
}
