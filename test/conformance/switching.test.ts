import { afterEach, expect, test } from 'vitest'

import { saveContested } from './processes/steady-writes.ts'
import { Stage } from './stage.ts'
import { changeOver, start, stopAll } from './switching.ts'
import { witnesses } from './witness.ts'

let stage: Stage | undefined
afterEach(() => stage?.dispose())

test(
  'from each way of capture to the next while two applications write: nothing is missed',
  { timeout: 600_000 },
  async () => {
    stage = await Stage.open(witnesses.subscriber)
    await saveContested(stage.dataSource)
    let running = await start(stage, 'subscriber')
    for (const mode of ['outbox', 'trigger', 'wal', 'subscriber'] as const) {
      running = await changeOver(stage, running, mode)
    }
    await stopAll(running)

    stage.work('consumer', 'trimmer')
    await stage.drained()
    expect(await stage.delayed()).toBe(0)
    expect(await stage.differences()).toEqual([])
  },
)
