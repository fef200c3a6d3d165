import { fileURLToPath } from 'node:url'

import { execa } from 'execa'

import { City } from '../../entities/city.ts'
import { formatTime } from '../screen.ts'
import { until, type Application } from '../stage.ts'
import { getDocument } from './documents.ts'

const script = fileURLToPath(new URL('../crashing-application.ts', import.meta.url))

/** Kills an application between its commit and its publish, and waits until the Delayer has healed it. */
export async function crash(application: Application): Promise<void> {
  const { screen, dataSource, signal } = application
  screen.step(
    'Crash',
    'A second application renames the easternmost city and dies by kill -9 after its COMMIT, before it could tell anybody. What ' +
      'remains is the delay message, which Redis had before the commit began; after 3 seconds (5 minutes by ' +
      'default) the delayer passes it on.',
  )
  const [city] = await dataSource.manager.find(City, { order: { lng: 'DESC', id: 'ASC' }, take: 1 })
  if (city === undefined) throw new Error('there is no city')
  const name = `${city.name} after the crash`
  const { signal: deadBy, stderr } = await execa(process.execPath, [script, String(city.id), name], {
    reject: false,
    cancelSignal: signal,
  })
  signal.throwIfAborted()
  if (deadBy !== 'SIGKILL') throw new Error(`the application did not die as it should have: ${stderr}`)
  const diedAt = performance.now()

  const row = await dataSource.manager.findOneByOrFail(City, { id: city.id })
  const document = await getDocument(application, city.id)
  if (row.name !== name) throw new Error('the application died before its commit')
  screen.line('The application is dead (SIGKILL).')
  screen.line(`  row:      "${row.name}"`)
  screen.line(`  document: "${document?.name}"${document?.name === row.name ? '' : ', which is stale'}`)
  await until(application, 'the delayer heals the document', async () =>
    (await getDocument(application, city.id))?.name === row.name ? true : undefined,
  )
  screen.line(`  document: "${row.name}", healed ${formatTime(performance.now() - diedAt)} after the crash`)
}
