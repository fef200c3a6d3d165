import { afterEach, expect, test } from 'vitest'

import { verifyIndex, type VerifyOptions } from '../../src/verify/verify.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { makeDrift, manyCities } from './drift.ts'
import { steadyWrites } from './steady-writes.ts'

let app: Pipelined

afterEach(() => app.dispose())

function verify(options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  return verifyIndex(app.pipeline.site(app.index), {
    scope: { kind: 'all' },
    repair: false,
    examples: 1_000,
    patienceMs: 30_000,
    signal: new AbortController().signal,
    ...options,
  })
}

function idsOf(report: VerifyReport, kind: string): string[] {
  return report.examples.filter((example) => example.kind === kind).map(({ id }) => id)
}

const clean = { missing: 0, stale: 0, orphaned: 0, unindexable: 0, inFlight: 0, repaired: 0, complete: true }

test('names exactly what was changed behind its back, while rows are written and deleted; repair cures it', async () => {
  app = await pipelined()
  app.start('consumer', 'delayer', 'trimmer')
  const rows = 20_000
  await manyCities(app, rows)
  const drifted = Array.from({ length: 200 }, (_, i) => 50 + i * 97)
  const drift = await makeDrift(app, drifted)
  const writes = steadyWrites(app, { rows, spare: drifted })

  const found = await verify()
  expect(idsOf(found, 'missing').toSorted()).toEqual(drift.missing.toSorted())
  expect(idsOf(found, 'stale').toSorted()).toEqual(drift.stale.toSorted())
  expect(idsOf(found, 'orphaned').toSorted()).toEqual(drift.orphaned.toSorted())
  expect(found).toMatchObject({ ...clean, missing: 100, stale: 100, orphaned: 100 })
  expect(found.examples.find(({ id }) => id === drift.stale[0])?.fields).toEqual([
    { field: 'name', row: `city ${drift.stale[0]}`, document: 'changed by hand' },
  ])

  const cured = await verify({ repair: true })
  expect(cured).toMatchObject({ ...clean, missing: 100, stale: 100, orphaned: 100, repaired: 300 })
  const counts = await writes.stop()
  expect(counts.saved).toBeGreaterThan(10)
  expect(counts.removed).toBeGreaterThan(10)
  await app.redstream.drained()
  expect(await verify()).toMatchObject({ ...clean, rows: counts.rows, documents: counts.rows })
}, 180_000)
