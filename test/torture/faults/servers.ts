import type { Weather } from '../proxy/treatment.ts'
import { wait, type FaultContext } from './context.ts'

/** Kills Redis, which then reads its log, or breaks the connections to it. */
export async function disturbRedis(context: FaultContext): Promise<void> {
  const { stage, random, count } = context
  const { redisServer, redisProxy } = stage
  while (await wait(context, 2_000, 6_000)) {
    switch (random.weighted({ kill: 3, restart: 1, cut: 3, 'half-open': 3 })) {
      case 'kill':
        await redisServer.kill()
        await wait(context, 0, 2_500)
        await redisServer.restart()
        count('Redis killed and started')
        break
      case 'restart':
        await redisServer.restart()
        count('Redis restarted in order')
        break
      case 'cut':
        redisProxy.cut()
        count('Redis connections cut')
        break
      case 'half-open':
        redisProxy.silence()
        count('Redis connections half-open')
    }
  }
}

/** Cuts sessions of the application and the workers in the database, also in the middle of a transaction. */
export async function cutSessions(context: FaultContext): Promise<void> {
  const { stage, random, count } = context
  while (await wait(context, 1_000, 4_000)) {
    const { rows } = await stage.database.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY xact_start NULLS LAST, pid`,
      [stage.space],
    )
    if (rows.length === 0) continue
    // More often one that is in a transaction.
    const { pid } = rows[Math.floor(random.next() ** 2 * rows.length)]!
    await stage.database.query('SELECT pg_terminate_backend($1)', [pid])
    count('database sessions cut')
  }
}

const bad: Readonly<Record<Exclude<Weather, 'calm'>, number>> = {
  slow: 4,
  refusing: 3,
  cutting: 3,
  unreachable: 2,
  'half-open': 2,
  late: 2,
}

/** Turns the way to Elasticsearch from calm to bad and back. */
export async function disturbElasticsearch(context: FaultContext): Promise<void> {
  const { stage, random, count } = context
  while (await wait(context, 500, 3_000)) {
    const weather = random.weighted(bad)
    await stage.elasticsearchProxy.turn(weather)
    count(`Elasticsearch ${weather}`)
    await wait(context, 1_000, 4_000)
    await stage.elasticsearchProxy.turn('calm')
  }
}
