import { expect, onTestFinished, test } from 'vitest'

import { verifyIndex } from '../../src/verify/verify.ts'
import { pipelined } from '../support/pipelined.ts'

test('without workers verify ends, says what it waits for once, and is patient once', async () => {
  const app = await pipelined()
  onTestFinished(() => app.dispose())
  // Differences are judged 5,000 at a time.
  await app.dataSource.query(`INSERT INTO cities (name) SELECT 'city ' || n FROM generate_series(1, 12000) n`)
  await app.redstream.touch(app.City, [1, 2, 3])
  const report = await verifyIndex(app.pipeline.site(app.index), {
    scope: { kind: 'all' },
    repair: true,
    examples: 1,
    patienceMs: 2_000,
    signal: new AbortController().signal,
  })
  expect(report).toMatchObject({ rows: 12_000, missing: 11_997, inFlight: 3, repaired: 0, complete: true })
  const told = app.workerLog.filter(({ message }) => message.startsWith('the queue stands still'))
  expect(told).toMatchObject([{ level: 'warn', facts: { index: app.index } }])
})
