/**
 * A consumer group of the user's own: notes every id that it is given. Nothing may be trimmed that it still needs,
 * however long it is away.
 *
 * Run: node auditor.ts
 */
import path from 'node:path'

import { Redstream } from '../../../src/redstream.ts'
import { openDatabase, settingsOf } from './data-source.ts'
import { indexName, streamNames } from './entities.ts'
import { captureFromTorture, fromTorture } from './environment.ts'
import { Journal } from './journal.ts'

const space = fromTorture('TORTURE_SPACE')
const journal = new Journal(path.join(fromTorture('TORTURE_FOLDER'), 'audit.jsonl'))
const dataSource = await openDatabase(fromTorture('DATABASE_URL'), space).initialize()
const redstream = await Redstream.attach(dataSource, {
  redis: fromTorture('REDIS_URL'),
  ...settingsOf(space, captureFromTorture()),
})
for (const stream of streamNames) {
  await redstream.consume(indexName(space, stream), 'audit', async ({ ids }) =>
    journal.write({ audited: stream, ids }),
  )
}
process.stderr.write('the auditor is running\n')
process.once('SIGTERM', () => {
  void redstream.close().then(() => dataSource.destroy())
})
