/**
 * A program that knows neither TypeORM nor Redstream, and writes SQL until SIGTERM. It is started again and again, and
 * killed.
 *
 * Run: node stranger.ts NUMBER LIFE
 */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Pool } from 'pg'

import { plan } from '../plan.ts'
import { randomOf, type Random } from '../random.ts'
import { fromTorture } from './environment.ts'
import { Journal } from './journal.ts'
import { reasonOf } from './reason.ts'
import { statements, weights } from './statements.ts'
import { RolledBack } from './write.ts'

const [number = '', life = ''] = process.argv.slice(2)
const space = fromTorture('TORTURE_SPACE')
const seed = Number(fromTorture('TORTURE_SEED'))
const journal = new Journal(path.join(fromTorture('TORTURE_FOLDER'), `writes-stranger-${number}.jsonl`))

const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())

const pool = new Pool({
  connectionString: fromTorture('DATABASE_URL'),
  application_name: space,
  options: `-c search_path=${space} -c lock_timeout=${plan.lockTimeoutMs} -c statement_timeout=${plan.statementTimeoutMs}`,
})
// A session that is cut while nobody uses it.
pool.on('error', () => undefined)
process.stderr.write('the stranger is running\n')
await Promise.all(
  Array.from({ length: plan.lanesPerStranger }, (_, lane) => writeInLane(`0${number}.${life}.${lane}`)),
)
await pool.end()

async function writeInLane(lane: string): Promise<void> {
  const random = randomOf(seed, `stranger ${lane}`)
  for (let i = 0; !stop.signal.aborted; i++) {
    await writeOnce(random, `${lane}-${i}`)
    await sleep(random.between(20, 150))
  }
}

async function writeOnce(random: Random, write: string): Promise<void> {
  const began = performance.now()
  journal.write({ write, path: 'SQL' })
  const end = (how: string): void =>
    journal.write({ write, end: how, ms: Math.round(performance.now() - began) })
  try {
    await inTransaction(random, write)
    end('done')
  } catch (error) {
    const reason = reasonOf(error)
    if (reason === 'other') console.error(`write ${write} failed:`, error)
    end(reason)
  }
}

/** One statement or some of them, committed or not. */
async function inTransaction(random: Random, write: string): Promise<void> {
  const client = await pool.connect()
  let broken: Error | undefined
  // A session that is cut between two statements.
  const lost = (error: Error): void => void (broken = error)
  client.on('error', lost)
  try {
    await client.query('BEGIN')
    for (let i = random.below(3); i >= 0; i--) {
      const name = random.weighted(weights)
      journal.write({ write, change: `SQL: ${name}` })
      const { text, values } = statements[name](random, write)
      await client.query(text, values)
    }
    if (random.chance(0.15)) throw new RolledBack()
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch((failure: Error) => void (broken = failure))
    throw error
  } finally {
    client.off('error', lost)
    client.release(broken)
  }
}
