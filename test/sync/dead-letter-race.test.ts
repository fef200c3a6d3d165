import { afterEach, expect, test } from 'vitest'

import { pipelined, type Pipelined } from '../support/pipelined.ts'

let app: Pipelined

afterEach(() => app.dispose())

test('a row that is mended while its dead letter is written is read again, and the letter goes', async () => {
  app = await pipelined(
    {},
    {
      document: async (city) => {
        if (city.name !== 'bad') return { name: city.name }
        // Somebody else's change, which somebody else has indexed already: no message comes for it any more.
        const table = app.dataSource.getMetadata(app.City).tablePath
        await app.dataSource.query(`UPDATE ${table} SET name = 'mended' WHERE id = $1`, [city.id])
        throw new Error('bad')
      },
    },
  )
  const [good, bad] = await app.dataSource.manager.save(['good', 'bad'].map(app.city))
  app.start('consumer')
  await app.redstream.drained()
  expect(await app.document(bad!.id)).toEqual({ name: 'mended' })
  expect(await app.document(good!.id)).toEqual({ name: 'good' })
  expect(await app.pipeline.deadLetters({})).toEqual([])
})

test('a row that stays bad is tried twice, has one letter with one attempt, and its neighbours are tried once', async () => {
  const tries = new Map<string, number>()
  app = await pipelined(
    {},
    {
      document: (city) => {
        tries.set(city.name, (tries.get(city.name) ?? 0) + 1)
        if (city.name === 'bad') throw new Error('still bad')
        return { name: city.name }
      },
    },
  )
  await app.dataSource.manager.save(['a', 'bad', 'b'].map(app.city))
  app.start('consumer')
  await app.redstream.drained()
  expect(Object.fromEntries(tries)).toEqual({ a: 1, bad: 2, b: 1 })
  expect(await app.pipeline.deadLetters({})).toMatchObject([{ reason: 'still bad', attempts: 1 }])
})
