/**
 * How long until a standby member has indexed what another consumer held: when that one is killed, and when it is
 * stopped in order while it cannot finish its batch.
 *
 * Run: npm run bench:take-over [-- --kills 10 --rows 100]   (servers from the environment, or embedded)
 */
import { parseArgs } from 'node:util'

import { Redstream } from '../src/redstream.ts'
import { gateKeys } from '../test/fixtures/process/gate.ts'
import { TcpProxy } from '../test/support/tcp-proxy.ts'
import type { Child } from '../test/torture/processes/child.ts'
import { median, openStage, report, tell, until } from './stage.ts'

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '10' }, rows: { type: 'string', default: '100' } },
})
const kills = Number(values.kills)
const rows = Number(values.rows)
const patienceMs = 60_000

const stage = await openStage()
let redstream: Redstream | undefined
try {
  redstream = await Redstream.attach(stage.dataSource, { redis: stage.redisUrl, namespace: stage.space })
  const killed = await repeat('kill', heldAtGate, (holder) => holder.kill())
  const stopped = await repeat('stop', heldBackByElasticsearch, (holder) => holder.stop())
  report({ rows, takeOverAfterMs: 2_000, killed, stopped })
} finally {
  await redstream?.close()
  await stage.close()
}

/** A consumer holds rows, a standby member runs, the holder ends: milliseconds until the rows are indexed. */
async function repeat(
  what: string,
  hold: (name: string) => Promise<Held>,
  end: (holder: Child) => void,
): Promise<Record<string, unknown>> {
  const times: number[] = []
  for (let round = 1; round <= kills; round++) {
    const name = `${what} ${round}`
    const held = await hold(name)
    const standby = await stage.start('consumer')
    const start = performance.now()
    end(held.holder)
    await until(() => isIndexed(name), patienceMs, `${name}: the rows are not indexed`)
    times.push(Math.round(performance.now() - start))
    tell(`${name}: ${times.at(-1)} ms`)
    await held.holder.exit
    standby.stop()
    await Promise.all([standby.exit, held.release()])
  }
  return { medianMs: median(times), maxMs: Math.max(...times), timesMs: times }
}

interface Held {
  readonly holder: Child
  release(): Promise<void>
}

/** It has read the rows from the database and waits before it sends them. */
async function heldAtGate(name: string): Promise<Held> {
  const gate = `${stage.space}:gate:${name}`
  const holder = await stage.start('consumer', { TEST_GATE: gate })
  await save(name)
  await until(async () => (await stage.redis.exists(gateKeys(gate).waiting)) === 1, patienceMs, 'no batch')
  return { holder, release: () => Promise.resolve() }
}

/** It cannot reach Elasticsearch and tries again and again. */
async function heldBackByElasticsearch(name: string): Promise<Held> {
  const proxy = await TcpProxy.to(stage.elasticsearchUrl)
  const holder = await stage.start('consumer', { ELASTICSEARCH_URL: `http://127.0.0.1:${proxy.port}` })
  await proxy.refuse()
  await save(name)
  const tries = async (): Promise<boolean> =>
    (await stage.logOf(holder)).includes('Elasticsearch did not take these documents now')
  await until(tries, patienceMs, 'no batch')
  return { holder, release: () => proxy.close() }
}

async function save(name: string): Promise<void> {
  const cities = Array.from({ length: rows }, (_, i) =>
    Object.assign(new stage.City(), { id: i + 1, name, population: i }),
  )
  await stage.dataSource.manager.save(cities)
}

async function isIndexed(name: string): Promise<boolean> {
  const { elasticsearch, index } = stage
  const ids = Array.from({ length: rows }, (_, i) => String(i + 1))
  const { docs } = await elasticsearch.mget<{ name: string }>({ index, ids })
  return docs.every((doc) => '_source' in doc && doc._source?.name === name)
}
