import { City } from '../../entities/city.ts'
import { formatTime } from '../screen.ts'
import { until, type Application } from '../stage.ts'
import { countDocuments } from './documents.ts'

const count = 5

/** Deletes a few rows. */
export async function remove(application: Application): Promise<void> {
  const { screen, dataSource } = application
  screen.step(
    'Delete',
    `The ${count} southernmost cities are removed. A consumer that finds no row for an id deletes the document; ` +
      'an older message that comes late cannot bring it back.',
  )
  const cities = await dataSource.manager.find(City, {
    relations: { country: true },
    order: { lat: 'ASC', id: 'ASC' },
    take: count,
  })
  const ids = cities.map(({ id }) => id)
  screen.table(
    ['city', 'country', 'latitude'],
    cities.map(({ name, country, lat }) => [name, country.name, lat.toFixed(2)]),
  )
  await dataSource.manager.remove(cities)
  const begin = performance.now()
  await until(application, 'the deleted cities are gone from the index', async () =>
    (await countDocuments(application, { terms: { id: ids } })) === 0 ? true : undefined,
  )
  screen.line(`no search finds them any more ${formatTime(performance.now() - begin)} later`)
}
