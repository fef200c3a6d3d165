/**
 * Does the outbox stay small? Writers put 10,000,000 rows into it, as fast as relays take them out again, and the size of
 * the table and its indexes is looked at all the while. A transaction adds 20 rows, each with one message, as twenty
 * saves would. When more than 20,000 rows wait, the writers wait.
 *
 * With `--snapshot 60` a transaction that began before the first row stays open for so many seconds, as a report or
 * pg_dump has it: as long as it does, PostgreSQL can reuse nothing.
 *
 * Run: npm run bench:outbox [-- --rows 10000000 --relays 2 --writers 4 --snapshot 0]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import type { NewEntry } from '../src/outbox/entry.ts'
import { OutboxPart } from '../src/outbox/outbox-part.ts'
import { OutboxTable } from '../src/outbox/outbox-table.ts'
import { OutboxQueue } from '../src/outbox/queue.ts'
import { openStage, report, round, tell, type Stage } from './stage.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000000' },
    relays: { type: 'string', default: '2' },
    writers: { type: 'string', default: '4' },
    snapshot: { type: 'string', default: '0' },
  },
})
const rows = Number(values.rows)
const relays = Number(values.relays)
const writers = Number(values.writers)
const snapshotMs = Number(values.snapshot) * 1_000

const rowsPerTransaction = 20
const mostWaiting = 20_000
const lookEveryMs = 5_000

/** The outbox at one moment. */
interface Look {
  readonly seconds: number
  readonly rowsPerSecond: number
  readonly waiting: number
  readonly tableMiB: number
  readonly indexMiB: number
  readonly deadRows: number
}

const stage = await openStage()
try {
  report(await measure(stage))
} finally {
  await stage.close()
}

async function measure({
  dataSource,
  space,
  redis,
  partition,
  start,
}: Stage): Promise<Record<string, unknown>> {
  const table = new OutboxTable(dataSource, `${space}_o`)
  const queue = new OutboxQueue(table)
  const part = new OutboxPart(table)
  await part.apply()
  try {
    const old = dataSource.createQueryRunner('master')
    await old.startTransaction('REPEATABLE READ')
    await old.query('SELECT 1')
    const snapshotOver = sleep(snapshotMs).then(() => old.commitTransaction())

    for (let i = 0; i < relays; i++) await start(`relay --capture outbox --capture-schema ${space}_o`)
    const began = performance.now()
    let written = 0
    let waiting = 0
    const write = async (): Promise<void> => {
      while (written < rows) {
        if (waiting > mostWaiting) {
          await sleep(5)
          continue
        }
        const first = written
        written += rowsPerTransaction
        await table.onRunner((queryRunner) => table.write(queryRunner, entriesFrom(first, partition.stream)))
      }
    }
    const looks: Look[] = []
    const done = new AbortController()
    const look = async (): Promise<void> => {
      let [at, before] = [performance.now(), 0]
      while (!done.signal.aborted) {
        const until = at + lookEveryMs
        while (performance.now() < until && !done.signal.aborted) {
          waiting = (await queue.status()).length
          await redis.xtrim(partition.keys.main, 'MAXLEN', '~', 10_000)
          await sleep(250)
        }
        const now = performance.now()
        const taken = written - waiting
        const rowsPerSecond = Math.round(((taken - before) / (now - at)) * 1_000)
        looks.push({
          seconds: round((now - began) / 1_000),
          rowsPerSecond,
          waiting,
          ...(await sizeOf(table)),
        })
        tell(JSON.stringify(looks.at(-1)))
        ;[at, before] = [now, taken]
      }
    }
    const looking = look()
    await Promise.all(Array.from({ length: writers }, write))
    while (!(await queue.isEmpty())) await sleep(20)
    const seconds = (performance.now() - began) / 1_000
    done.abort()
    await Promise.all([looking, snapshotOver])
    await old.release()
    return { rows, relays, writers, snapshotMs, seconds: round(seconds), ...summary(looks, rows / seconds) }
  } finally {
    await part.remove('everything')
  }
}

function entriesFrom(first: number, stream: string): NewEntry[] {
  return Array.from({ length: rowsPerTransaction }, (_, i) => ({
    kind: 'messages',
    source: stream,
    body: JSON.stringify([{ id: String(first + i) }]),
  }))
}

async function sizeOf({
  dataSource,
  quoted,
}: OutboxTable): Promise<Pick<Look, 'tableMiB' | 'indexMiB' | 'deadRows'>> {
  const [size] = (await dataSource.query(
    `SELECT pg_table_size($1::regclass)::float8 AS main, pg_indexes_size($1::regclass)::float8 AS indexes,
      (SELECT n_dead_tup::float8 FROM pg_stat_user_tables WHERE relid = $1::regclass) AS dead`,
    [quoted],
  )) as [{ main: number; indexes: number; dead: number }]
  const mebibytes = (bytes: number): number => round(bytes / 1024 ** 2)
  return { tableMiB: mebibytes(size.main), indexMiB: mebibytes(size.indexes), deadRows: size.dead }
}

/** The first and the last quarter tell whether it grows, or gets slower. */
function summary(looks: readonly Look[], rowsPerSecond: number): Record<string, unknown> {
  const quarter = Math.max(1, Math.floor(looks.length / 4))
  const parts = { firstQuarter: looks.slice(0, quarter), lastQuarter: looks.slice(-quarter) }
  const most = (of: readonly Look[], key: keyof Look): number => Math.max(...of.map((one) => one[key]))
  return {
    rowsPerSecond: Math.round(rowsPerSecond),
    largestTableMiB: most(looks, 'tableMiB'),
    largestIndexMiB: most(looks, 'indexMiB'),
    ...Object.fromEntries(
      Object.entries(parts).map(([name, of]) => [
        name,
        {
          rowsPerSecond: Math.round(of.reduce((sum, one) => sum + one.rowsPerSecond, 0) / of.length),
          tableMiB: most(of, 'tableMiB'),
          indexMiB: most(of, 'indexMiB'),
        },
      ]),
    ),
    looks,
  }
}
