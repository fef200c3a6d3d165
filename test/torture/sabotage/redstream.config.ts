import { defineConfig } from 'redstream'

import { openDatabase, settingsOf } from '../application/data-source.ts'
import { captureFromTorture, fromTorture } from '../application/environment.ts'
import { sabotagedClient } from './elasticsearch.ts'

const space = fromTorture('TORTURE_SPACE')

export default defineConfig({
  dataSource: openDatabase(fromTorture('DATABASE_URL'), space),
  elasticsearch: sabotagedClient(fromTorture('ELASTICSEARCH_URL'), fromTorture('TORTURE_SABOTAGE')),
  ...settingsOf(space, captureFromTorture()),
})
