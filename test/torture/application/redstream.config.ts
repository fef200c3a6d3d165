import { defineConfig } from 'redstream'

import { openDatabase, settingsOf } from './data-source.ts'
import { captureFromTorture, fromTorture } from './environment.ts'

const space = fromTorture('TORTURE_SPACE')

export default defineConfig({
  dataSource: openDatabase(fromTorture('DATABASE_URL'), space),
  ...settingsOf(space, captureFromTorture()),
})
