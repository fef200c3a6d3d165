import { afterAll, beforeAll, expect, test } from 'vitest'

import { World } from './support/world.ts'

let world: World

beforeAll(async () => {
  world = await World.open()
})
afterAll(() => world?.dispose())

test('`run` killed again and again under a steady load of writes, at last the application too: nothing is lost', async () => {
  const application = world.application('steady load')
  for (let kills = 0; kills < 3; kills++) {
    const run = await world.start('run --delay 2s --batch-size 20')
    const written = application.output.length
    await application.until(() => application.output.length > written + 150, 'does not write')
    await run.kill()
  }
  await application.kill()
  await world.start('run --delay 2s')
  await world.caughtUp()
  expect(await world.expectInSync()).toBeGreaterThan(50)
})
