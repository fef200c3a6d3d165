import { Redstream } from 'redstream'

import { dataSource } from '../data-source.ts'
import { City } from '../entities/city.ts'

/** Renames a city; the process is killed when the commit is done and nothing is published yet. */
export async function renameAndDie(id: number, name: string): Promise<void> {
  await dataSource.initialize()
  // Subscribers are called in their order, so this one comes before Redstream's.
  dataSource.subscribers.push({ afterTransactionCommit: () => void process.kill(process.pid, 'SIGKILL') })
  await Redstream.attach(dataSource)
  const city = await dataSource.manager.findOneByOrFail(City, { id })
  city.name = name
  await dataSource.manager.save(city)
}
