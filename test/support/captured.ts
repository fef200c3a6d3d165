import { DataSource } from 'typeorm'

import type { IndexedOptions } from '../../src/indexed.ts'
import { Redstream, type AttachOptions } from '../../src/redstream.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import { partitionsOf, type Partition } from '../../src/streams/keys.ts'
import { decodeMessages, type Message } from '../../src/streams/message.ts'
import { cityEntity, type CityRow } from './city.ts'
import { testSpace, type TestSpace } from './services.ts'

/** One line that was logged. */
export interface LogLine {
  level: keyof Logger
  message: string
  facts: Record<string, unknown>
}

/** A DataSource with the entity City, Redstream attached to it, and a look into its streams. */
export interface Captured {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly City: new () => CityRow
  readonly log: LogLine[]
  readonly partition: Partition
  /** The messages in a stream of the first partition, in order. */
  messages(stream: 'main' | 'bulk' | 'delay'): Promise<Message[]>
  ids(stream: 'main' | 'bulk' | 'delay'): Promise<string[]>
  city(name: string): CityRow
  dispose(): Promise<void>
}

export async function captured(
  options: AttachOptions = {},
  indexed: IndexedOptions<CityRow> = {},
): Promise<Captured> {
  const space = await testSpace()
  const City = cityEntity(space.indexPrefix, indexed)
  const dataSource = await new DataSource({
    ...space.dataSourceOptions([City]),
    synchronize: true,
  }).initialize()
  const log: LogLine[] = []
  const redstream = await Redstream.attach(dataSource, {
    redis: space.redisUrl,
    namespace: space.namespace,
    logger: recordingLogger(log),
    ...options,
  })
  const [partition] = partitionsOf(space.namespace, `${space.indexPrefix}cities`, 1)
  const redis = space.redis()
  const messages = async (stream: 'main' | 'bulk' | 'delay'): Promise<Message[]> => {
    await published(redstream)
    const entries = await redis.xrange(partition!.keys[stream], '-', '+')
    return entries.flatMap(([, fields]) => decodeMessages(fields))
  }
  return {
    space,
    dataSource,
    redstream,
    City,
    log,
    partition: partition!,
    messages,
    ids: async (stream) => (await messages(stream)).map(({ id }) => id),
    city: (name) => Object.assign(new City(), { name, population: 0 }),
    dispose: async () => {
      await redstream.close()
      await dataSource.destroy()
      await space.dispose()
    },
  }
}

/** Resolves when Redis has answered for everything that was committed before: a save does not wait for that. */
export async function published(redstream: Redstream): Promise<void> {
  // The consumers may have things left to do.
  await redstream.drained({ timeout: 0 }).catch(() => undefined)
}

export function recordingLogger(log: LogLine[]): Logger {
  const at =
    (level: keyof Logger) =>
    (facts: object, message: string): void => {
      log.push({ level, message, facts: facts as Record<string, unknown> })
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
