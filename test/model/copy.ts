import type { FakeIndex } from './fake-index.ts'
import type { FakeGroup, FakeRedis, FakeStream } from './fake-redis.ts'
import type { Application, Batch, Member, World } from './world.ts'

/** A copy that shares nothing that a step may change; entries, rows and documents never change. */
export function copyOf(world: World): World {
  return {
    ...world,
    database: {
      ...world.database,
      rows: { ...world.database.rows },
      ended: { ...world.database.ended },
    },
    redis: copyOfRedis(world.redis),
    indices: mapValues(world.indices, copyOfIndex),
    network: world.network.map((item) => ({ ...item })),
    applications: world.applications.map(copyOfApplication),
    members: world.members.map(copyOfMember),
    copier: world.copier && { ...world.copier },
    trimmer: world.trimmer && { ...world.trimmer },
    suspects: { ...world.suspects },
    heard: { ...world.heard },
  }
}

function copyOfRedis(redis: FakeRedis): FakeRedis {
  return {
    ...redis,
    streams: mapValues(redis.streams, copyOfStream),
    targets: [...redis.targets],
    letters: mapValues(redis.letters, (letter) => ({ ...letter })),
  }
}

function copyOfStream(stream: FakeStream): FakeStream {
  return { ...stream, entries: [...stream.entries], groups: mapValues(stream.groups, copyOfGroup) }
}

function copyOfGroup(group: FakeGroup): FakeGroup {
  return { ...group, pending: group.pending.map((one) => ({ ...one })), consumers: [...group.consumers] }
}

function copyOfIndex({ documents, tombstones }: FakeIndex): FakeIndex {
  return { documents: { ...documents }, tombstones: { ...tombstones } }
}

function copyOfApplication(application: Application): Application {
  return { ...application, toWrite: [...application.toWrite], entries: [...application.entries] }
}

function copyOfMember(member: Member): Member {
  return { ...member, batches: member.batches.map(copyOfBatch), claim: member.claim && { ...member.claim } }
}

function copyOfBatch(batch: Batch): Batch {
  return {
    ...batch,
    rows: { ...batch.rows },
    targets: [...batch.targets],
    outcomes: [...batch.outcomes],
    retry: [...batch.retry],
    buried: [...batch.buried],
  }
}

function mapValues<K extends string, V>(record: Partial<Record<K, V>>, map: (value: V) => V): Record<K, V> {
  const result: Partial<Record<K, V>> = {}
  for (const key in record) {
    const value = record[key]
    if (value !== undefined) result[key] = map(value)
  }
  return result as Record<K, V>
}
