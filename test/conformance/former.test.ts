import { afterEach, expect, test } from 'vitest'

import { done } from './processes/processes.ts'
import { Stage } from './stage.ts'
import { witnesses } from './witness.ts'

let stage: Stage
afterEach(() => stage?.dispose())

const settings = `SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relreplident = 'f'`

interface Step {
  readonly object: string
  readonly action: string
}

/** What `redstream uninstall --unused` would drop when the mode is another one. */
async function unused(mode: string): Promise<string[]> {
  const program = stage.processes.command('uninstall --unused --plan --json', { TEST_CAPTURE: mode })
  await program.exit
  const steps = JSON.parse(program.output.join('')) as Step[]
  return steps.map(({ object }) => object.replaceAll(/ .*/g, '')).toSorted()
}

test('uninstall --unused: what the mode does not need, of all that former ones have left', async () => {
  stage = await Stage.open(witnesses.subscriber)
  const { processes, database, space } = stage
  // Somebody else’s.
  await database.query('ALTER TABLE offers REPLICA IDENTITY FULL')
  expect(await unused('subscriber')).toEqual([])
  await done(processes.command('init', { TEST_CAPTURE: 'trigger' }))
  expect(await unused('trigger')).toEqual([])
  const triggers = await unused('outbox')
  expect(triggers.length).toBeGreaterThan(0)
  expect(await unused('subscriber')).toEqual(['schema', 'table', ...triggers].toSorted())

  await done(processes.command('init', { TEST_CAPTURE: 'wal' }))
  const log = await unused('trigger')
  expect(log).toEqual(expect.arrayContaining(['publication', 'replication']))
  await done(processes.command('uninstall --unused', { TEST_CAPTURE: 'subscriber' }))
  for (const mode of ['subscriber', 'outbox', 'trigger', 'wal']) expect(await unused(mode)).toEqual([])
  expect((await database.query(settings, [space.schema])).rows).toEqual([])
})

test('uninstall: whole rows in the log that somebody else asked for stay', async () => {
  stage = await Stage.open(witnesses.trigger)
  const { processes, database, space } = stage
  await database.query('ALTER TABLE offers REPLICA IDENTITY FULL')
  await done(processes.command('uninstall'))
  expect((await database.query(settings, [space.schema])).rows).toEqual([{ relname: 'offers' }])
})
