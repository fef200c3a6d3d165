import { afterAll, beforeAll, expect, it } from 'vitest'

import { healthProblems } from '../../../src/runtime/health.ts'
import { settingsFrom } from '../../../src/runtime/settings.ts'
import { formatStatus } from '../../../src/cli/status-table.ts'
import { openPipeline, type Pipeline } from '../../../src/sync/pipeline.ts'
import { recordingLogger } from '../../support/captured.ts'
import { shop } from './entities.ts'
import { witness, type Witness } from './witness.ts'

let w: Witness
let pipeline: Pipeline
const settings = settingsFrom({ capture: 'trigger' })
beforeAll(async () => {
  w = await witness(shop)
  const { redisUrl: redis, elasticsearchUrl: elasticsearch, namespace } = w.space
  const given = settingsFrom({ capture: 'trigger', captureSchema: w.captureSchema, namespace })
  pipeline = await openPipeline(
    { dataSource: w.dataSource, redis, elasticsearch, settings: given },
    recordingLogger([]),
    { elasticsearch: false },
  )
})
afterAll(async () => {
  await pipeline.close()
  await w.dispose()
})

it('says in status and health when triggers are not as they should be', async () => {
  const well = await pipeline.status()
  expect(well.triggers).toEqual([])
  expect(healthProblems(well, settings, []).filter(({ problem }) => problem === 'triggers')).toEqual([])
  await w.sql('ALTER TABLE cities DISABLE TRIGGER USER')
  const ill = await pipeline.status()
  expect(ill.triggers).toHaveLength(1)
  expect(formatStatus(ill)).toContain('the trigger for INSERT is disabled')
  const problem = healthProblems(ill, settings, []).find(({ problem }) => problem === 'triggers')
  expect(problem?.message).toMatch(
    /^triggers of \w+\.cities: .* changes are missed until `redstream init` is run/,
  )
})
