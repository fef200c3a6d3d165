import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, expect, test } from 'vitest'

import type { Status } from '../../src/sync/pipeline.ts'
import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

const day = 86_400_000
const preload = fileURLToPath(new URL('../fixtures/process/wrong-clock.ts', import.meta.url))

/** The environment of a process whose clock is wrong by so many ms. */
function clock(shiftMs: number): Record<string, string> {
  return { NODE_OPTIONS: `--import=${preload}`, TEST_CLOCK_SHIFT_MS: String(shiftMs) }
}

let world: World

beforeAll(async () => {
  world = await World.open({ partitions: 2 })
})
afterAll(() => world?.dispose())

async function statusSeenBy(shiftMs: number): Promise<Status> {
  const program = world.launch('status --json', clock(shiftMs))
  expect(await program.exit).toMatchObject({ code: 0 })
  return JSON.parse(program.output.join('\n')) as Status
}

/** The worst of the lags and ages of a status that a right clock would also tell. */
function expectRightAges({ streams, workers }: Status, alive: readonly Program[]): void {
  for (const { pid } of alive) {
    const found = workers.filter((worker) => worker.pid === pid)
    expect(found.length).toBeGreaterThan(0)
    for (const { seenMs, progressMs } of found) {
      expect(seenMs).toBeLessThan(60_000)
      expect(progressMs).toBeLessThan(60_000 + seenMs)
    }
  }
  for (const { main, delay, unservedGroups } of streams) {
    expect(main.lagMs).toBeLessThan(day / 2)
    expect(delay.oldestMs).toBeLessThan(day / 2)
    expect(unservedGroups).toEqual([])
  }
}

test('workers and an application with clocks that are wrong by a day to both sides: all converges, and ages are right', async () => {
  const behind = await world.start('run --delay 2s --batch-size 20 --trim-interval 50ms', clock(-day))
  const ahead = await world.start('run --delay 2s --batch-size 20 --trim-interval 50ms', clock(day))
  // The clocks are wrong indeed.
  for (const [{ log }, shiftMs] of [
    [behind, -day],
    [ahead, day],
  ] as const) {
    expect(Math.abs(Date.parse(String(log[0]!['time'])) - Date.now() - shiftMs)).toBeLessThan(day / 2)
  }
  const served = await world.redstream.consume(world.index, 'mine', async () => undefined)

  const application = world.application('steady load', clock(-2 * day))
  await application.until(() => application.output.length > 200, 'does not write')
  const seen = await Promise.all([-day, day].map(statusSeenBy))
  for (const status of seen) expectRightAges(status, [behind, ahead])

  // The one behind takes over what the one ahead held, and the other way round.
  await ahead.kill()
  let written = application.output.length
  await application.until(() => application.output.length > written + 100, 'does not write')
  const another = await world.start('run --delay 2s --batch-size 20', clock(2 * day))
  await behind.kill()
  written = application.output.length
  await application.until(() => application.output.length > written + 100, 'does not write')

  // What its death leaves in the delay stream is due by Redis' clock, neither at once nor in a day.
  await application.kill()
  await world.caughtUp()
  expect(await world.expectInSync()).toBeGreaterThan(50)
  expect(another.log.filter(({ msg }) => msg.includes('ticket counter'))).toEqual([])
  await served.stop()
})
