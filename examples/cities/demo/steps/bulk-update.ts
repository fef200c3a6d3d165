import { City } from '../../entities/city.ts'
import { formatCount, formatTime } from '../screen.ts'
import { until, type Application } from '../stage.ts'
import { countDocuments } from './documents.ts'

const code = 'FR'

/** Changes all cities of a country with one statement, which names no ids. */
export async function bulkUpdate(application: Application): Promise<void> {
  const { screen, dataSource, redstream } = application
  screen.step(
    'Bulk update',
    'One UPDATE marks every city of France as featured. Such a statement names no ids, so it stands inside ' +
      '`redstream.bulk`: that notes the ids before and queues them afterwards, in a lane that lets single edits pass.',
  )
  const where = { country: { code } }
  const begin = performance.now()
  const { affected = 0 } = await redstream.bulk(City, where, () =>
    dataSource.getRepository(City).update(where, { featured: true }),
  )
  const updatedMs = performance.now() - begin
  const query = {
    bool: { filter: [{ term: { featured: true } }, { term: { 'country.code.keyword': code } }] },
  }
  await until(application, 'every city of France is featured in the index', async () =>
    (await countDocuments(application, query)) === affected ? true : undefined,
  )
  screen.line(
    `${formatCount(affected)} rows updated in ${formatTime(updatedMs)}; ` +
      `a search finds all of them featured ${formatTime(performance.now() - begin - updatedMs)} later`,
  )
}
