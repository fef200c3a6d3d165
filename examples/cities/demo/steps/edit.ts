import type { EntitySubscriberInterface } from 'typeorm'

import { City } from '../../entities/city.ts'
import { formatTime } from '../screen.ts'
import { until, type Application } from '../stage.ts'
import { countDocuments, getDocument } from './documents.ts'

/** Renames a city twice, and takes the time from the commit until Elasticsearch knows. */
export async function edit(application: Application): Promise<void> {
  const { screen, dataSource } = application
  screen.step(
    'Edit',
    "The northernmost city gets another name, and back again. The clock runs from PostgreSQL's answer to COMMIT until " +
      'Elasticsearch gives the new name: by id at once, in a search after its next refresh (every second by default).',
  )
  const [city] = await dataSource.manager.find(City, { order: { lat: 'DESC', id: 'ASC' }, take: 1 })
  if (city === undefined) throw new Error('there is no city')
  const name = city.name
  const renamed = `${name} on Redstream`

  const byId = await timed(application, city, renamed, async () => {
    const document = await getDocument(application, city.id)
    return document?.name === renamed
  })
  screen.line(`"${name}" is now "${renamed}": by id after ${formatTime(byId)}`)
  // The search gets a change of its own, after the first one is surely found: it must not find the name of before.
  await application.elasticsearch.indices.refresh({ index: application.workspace.index })
  const bySearch = await timed(application, city, name, async () => {
    const query = { bool: { filter: [{ term: { id: city.id } }, { term: { 'name.keyword': name } }] } }
    return (await countDocuments(application, query)) === 1
  })
  screen.line(`and "${name}" again: found by a search after ${formatTime(bySearch)}`)
}

/** Saves the name; returns the milliseconds from the commit until `arrived` says so. */
async function timed(
  application: Application,
  city: City,
  name: string,
  arrived: () => Promise<boolean>,
): Promise<number> {
  const { dataSource } = application
  let committedAt = 0
  const clock: EntitySubscriberInterface = {
    afterTransactionCommit: () => {
      committedAt = performance.now()
    },
  }
  // Before Redstream's own subscriber, so that its publishing is part of the time.
  dataSource.subscribers.unshift(clock)
  try {
    city.name = name
    await dataSource.manager.save(city)
  } finally {
    dataSource.subscribers.splice(dataSource.subscribers.indexOf(clock), 1)
  }
  return until(application, `"${name}" is in the index`, async () =>
    (await arrived()) ? performance.now() - committedAt : undefined,
  )
}
