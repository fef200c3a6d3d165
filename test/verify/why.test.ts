import { afterEach, describe, expect, test } from 'vitest'

import { formatWhy } from '../../src/cli/why-screen.ts'
import { explainDocument, type WhyReport } from '../../src/verify/why.ts'
import { verdict, type Facts } from '../../src/verify/why-verdict.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'

describe('the verdict', () => {
  const at = '2026-11-22T08:00:00.000Z'
  const message = { stream: 'main', entry: '1-0', at } as const
  const facts: Facts = {
    name: 'cities',
    id: '42',
    look: {
      hasRow: true,
      isHome: true,
      version: 1,
      finding: { kind: 'stale', fields: [{ field: 'name', row: 'a' }] },
    },
    search: { messages: [{ ...message, state: 'done' }], entries: 7, all: true },
    cascades: [],
    letter: undefined,
    alive: new Set(['consumer', 'delayer']),
  }
  const search = (found: Partial<Facts['search']['messages'][number]>): Partial<Facts> => ({
    search: { ...facts.search, messages: [{ ...message, state: 'done', ...found }] },
  })
  const letter = {
    stream: 'cities',
    id: '42',
    type: 'document_parsing_exception',
    reason: 'too large',
    attempts: 1,
    firstAt: at,
    lastAt: at,
  }

  test.each<[string, Partial<Facts>]>([
    [
      'The document is not that of the row (name): no message for it is waiting; run `redstream verify cities --repair --ids 42`.',
      {},
    ],
    [
      'The document is not that of the row (name): none of the newest 7 messages is for it; run `redstream verify cities --repair --ids 42`.',
      { search: { ...facts.search, all: false } },
    ],
    [
      `The document is not that of the row (name): a message of ${at} waits in the main lane.`,
      search({ state: 'unread' }),
    ],
    [
      `The document is not that of the row (name): a message of ${at} waits in the bulk lane, and no consumer is alive: start one with \`redstream run\`.`,
      { ...search({ state: 'unread', stream: 'bulk' }), alive: new Set() },
    ],
    [
      `The document is not that of the row (name): a consumer works on it (host-1, message of ${at}, given out 3 times).`,
      search({ state: 'in work', consumer: 'host-1', deliveries: 3 }),
    ],
    [
      `The document is not that of the row (name): a delay message of ${at} waits, because its transaction is open or its process died before the publish; a Delayer moves it when it is as old as the setting \`delay\`.`,
      search({ state: 'delayed', stream: 'delay' }),
    ],
    [
      'The document is not that of the row (name): it could not be indexed (document_parsing_exception: too large); mend the cause, then run `redstream dead-letters retry --stream cities --id 42`.',
      { letter },
    ],
    [
      'The row has no document, and none can be made: no document for bad.',
      {
        look: {
          hasRow: true,
          isHome: true,
          version: undefined,
          finding: { kind: 'unindexable', reason: 'no document for bad' },
        },
      },
    ],
    [
      'The row has its document elsewhere, but there is another one: no message for it is waiting; run `redstream verify cities --repair --ids 42`.',
      { look: { hasRow: true, isHome: false, version: 1, finding: { kind: 'orphaned' } } },
    ],
    [
      'The document is not that of the row (name): changes of rows that such documents embed wait in embedded:country.',
      { cascades: ['embedded:country'] },
    ],
    [
      'There is a document, but no row: no message for it is waiting; run `redstream verify cities --repair --ids 42`.',
      { look: { hasRow: false, isHome: false, version: 1, finding: { kind: 'orphaned' } } },
    ],
    [
      'The row shall have no document (`when`), and has none.',
      { look: { hasRow: true, isHome: true, version: undefined, finding: undefined } },
    ],
    [
      'The document is that of the row. A message for it waits, so it will be read and written once more.',
      {
        look: { hasRow: true, isHome: true, version: 1, finding: undefined },
        ...search({ state: 'unread' }),
      },
    ],
    [
      'There is neither a row nor a document with this id.',
      { look: { hasRow: false, isHome: true, version: undefined, finding: undefined } },
    ],
  ])('%s', (sentence, different) => {
    expect(verdict({ ...facts, ...different })).toBe(sentence)
  })
})

describe('on the servers', () => {
  let app: Pipelined
  afterEach(() => app.dispose())
  const why = (id: string | number): Promise<WhyReport> =>
    explainDocument(app.pipeline.site(app.index), String(id))

  test('row, document, ticket, messages, dead letter and workers', async () => {
    app = await pipelined({}, { mappings: { properties: { population: { type: 'byte' } } } })
    const stop = app.start('consumer')
    const city = await app.dataSource.manager.save(app.city('Rome'))
    await app.redstream.drained()
    const good = await why(city.id)
    expect(good).toMatchObject({
      name: app.index,
      id: String(city.id),
      verdict: 'The document is that of the row.',
      inStep: true,
      row: true,
      document: { index: expect.stringContaining(app.index), version: await app.version(city.id) },
      fields: [],
      deadLetter: null,
      messages: { messages: [{ stream: 'main', state: 'done' }], entries: 1, all: true },
      workers: { consumer: 1 },
    })
    expect(good.ticket).toBe(String(good.document?.version))
    expect(Math.abs(Date.parse(good.document?.ticketAt ?? '') - Date.now())).toBeLessThan(3_600_000)

    await app.dataSource.manager.save(Object.assign(city, { population: 1_000 }))
    await app.redstream.drained()
    const refused = await why(city.id)
    expect(refused).toMatchObject({
      inStep: false,
      fields: [{ field: 'population', row: 1_000, document: 0 }],
      deadLetter: { type: 'document_parsing_exception', attempts: 1 },
    })
    expect(refused.verdict).toMatch(
      /^The document is not that of the row \(population\): it could not be indexed \(document_parsing_exception: /,
    )

    await stop()
    await app.dataSource.manager.save(Object.assign(city, { population: 5 }))
    expect((await why(city.id)).verdict).toMatch(/: a message of .*Z waits in the main lane/)
    await app.space.redis().xreadgroup('GROUP', 'index', 'somebody', 'STREAMS', app.partition.keys.main, '>')
    expect((await why(city.id)).verdict).toMatch(/: a consumer works on it \(somebody, message of .*Z\)\.$/)
  })

  test('drift, an id that is no key, an id that nobody has, and a screen for people', async () => {
    app = await pipelined()
    app.start('consumer')
    const city = await app.dataSource.manager.save(app.city('Rome'))
    await app.redstream.drained()
    await app.dataSource.query(`UPDATE cities SET name = 'Roma'`)
    const drifted = await why(city.id)
    expect(drifted.verdict).toBe(
      'The document is not that of the row (name): no message for it is waiting; run ' +
        `\`redstream verify ${app.index} --repair --ids ${city.id}\`.`,
    )
    const screen = formatWhy(drifted)
    expect(screen.split('\n').length).toBeLessThan(24)
    expect(screen).toContain('differs      name: row "Roma", document "Rome"')
    await app.client.index({ index: app.index, id: 'by hand', document: { name: 'x' } })
    const foreign = await why('by hand')
    expect(foreign).toMatchObject({ row: false, document: { version: 1, ticketAt: null } })
    expect(foreign.verdict).toMatch(/^There is a document, but no row: /)
    expect((await why('abc')).verdict).toBe('There is neither a row nor a document with this id.')
    // Written by hand in another way than the database has it.
    const another = await why(`00${city.id}`)
    expect(another).toMatchObject({ id: String(city.id), row: true, fields: [{ field: 'name' }] })
  })
})
