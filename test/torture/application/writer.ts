/**
 * An application process that writes until SIGTERM, in every way that is safe against a crash, several transactions at
 * a time. It is started again and again, and killed.
 *
 * Run: node writer.ts NUMBER LIFE
 */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Redstream } from '../../../src/redstream.ts'
import { plan } from '../plan.ts'
import { randomOf, type Random } from '../random.ts'
import { openDatabase, settingsOf } from './data-source.ts'
import { captureFromTorture, fromTorture } from './environment.ts'
import { Journal } from './journal.ts'
import { reasonOf } from './reason.ts'
import { choosePath } from './paths.ts'
import { Write } from './write.ts'

const [number = '', life = ''] = process.argv.slice(2)
const space = fromTorture('TORTURE_SPACE')
const seed = Number(fromTorture('TORTURE_SEED'))
const began = Number(fromTorture('TORTURE_BEGAN'))
const journal = new Journal(path.join(fromTorture('TORTURE_FOLDER'), `writes-${number}.jsonl`))

const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())

const dataSource = openDatabase(fromTorture('DATABASE_URL'), space)
await dataSource.initialize()
const redstream = await Redstream.attach(dataSource, {
  redis: fromTorture('REDIS_URL'),
  ...settingsOf(space, captureFromTorture()),
})
process.stderr.write('the writer is running\n')
await Promise.all(
  Array.from({ length: plan.lanesPerWriter }, (_, lane) => writeInLane(`${number}.${life}.${lane}`)),
)
await redstream.close()
await dataSource.destroy()

async function writeInLane(lane: string): Promise<void> {
  const random = randomOf(seed, `writer ${lane}`)
  for (let i = 0; !stop.signal.aborted; i++) {
    const outcome = await writeOnce(random, `${lane}-${i}`)
    await sleep(outcome === undefined ? random.between(0, 20) : random.between(50, 200))
  }
}

/** One write; returns why it failed, if it did. */
async function writeOnce(random: Random, label: string): Promise<string | undefined> {
  const write = new Write(
    { dataSource, redstream, random, seconds: (Date.now() - began) / 1_000 },
    label,
    journal,
  )
  const { name, run } = choosePath(write)
  journal.write({ write: label, path: name })
  try {
    await run(write)
    journal.write({ write: label, end: 'done', ms: Math.round(write.elapsedMs) })
    return undefined
  } catch (error) {
    const reason = reasonOf(error)
    journal.write({ write: label, end: reason, ms: Math.round(write.elapsedMs) })
    if (reason === 'other') console.error(`write ${label} (${name}) failed:`, error)
    return reason
  }
}
