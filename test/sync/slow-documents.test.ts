import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, expect, test } from 'vitest'

import { pipelined, type Pipelined } from '../support/pipelined.ts'

let app: Pipelined

afterEach(() => app.dispose())

test('a document() that is never done becomes a dead letter; its neighbours are indexed', async () => {
  app = await pipelined(
    { ticketMaxAge: '1s' },
    { document: (city) => (city.name === 'stuck' ? new Promise(() => undefined) : { name: city.name }) },
  )
  const cities = await app.dataSource.manager.save(['a', 'stuck', 'b'].map(app.city))
  app.start('consumer')
  await app.redstream.drained()
  const [a, stuck, b] = cities.map(({ id }) => id)
  expect(await app.document(a!)).toEqual({ name: 'a' })
  expect(await app.document(b!)).toEqual({ name: 'b' })
  expect(await app.pipeline.deadLetters({})).toMatchObject([
    {
      id: String(stuck),
      type: 'document_failed',
      reason: expect.stringMatching(/document\(\) did not end.*ticketMaxAge/),
    },
  ])
})

test('a batch whose documents take longer than a ticket lives is indexed in parts', async () => {
  app = await pipelined(
    { ticketMaxAge: '1s' },
    {
      document: async (city) => {
        await sleep(200)
        return { name: city.name }
      },
    },
  )
  const cities = await app.dataSource.manager.save(Array.from({ length: 8 }, (_, i) => app.city(`city ${i}`)))
  app.start('consumer')
  await app.redstream.drained()
  for (const { id, name } of cities) expect(await app.document(id)).toEqual({ name })
  expect(await app.pipeline.deadLetters({})).toEqual([])
})
