import type { Client } from '@elastic/elasticsearch'

const documentsPerRequest = 1_000

/**
 * Documents per second of bulk requests and nothing else: those of `from` are written to a new index with the same
 * mapping and settings, so many requests in flight, with versions as the product sends them.
 */
export async function rawBulk(
  client: Client,
  from: string,
  to: string,
  concurrency: number,
): Promise<number> {
  const bodies = await bodiesOf(client, from)
  const [physical] = Object.values(await client.indices.get({ index: from }))
  const { number_of_shards, number_of_replicas, refresh_interval, gc_deletes } = physical!.settings!.index!
  await client.indices.delete({ index: to }, { ignore: [404] })
  await client.indices.create({
    index: to,
    mappings: physical!.mappings!,
    settings: { index: { number_of_shards, number_of_replicas, refresh_interval, gc_deletes } as object },
  })
  let documents = 0
  let next = 0
  const start = performance.now()
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) {
        const { errors, items } = await client.bulk({ index: to, operations: body })
        if (errors) throw new Error('Elasticsearch refused a document that it had taken before')
        documents += items.length
      }
    }),
  )
  const seconds = (performance.now() - start) / 1_000
  await client.indices.delete({ index: to })
  return documents / seconds
}

/** Every document of an index, ready to be sent. */
async function bodiesOf(client: Client, index: string): Promise<string[][]> {
  await client.indices.refresh({ index })
  const { id } = await client.openPointInTime({ index, keep_alive: '1m' })
  const bodies: string[][] = []
  const version = Date.now() * 1_000
  let after: unknown[] | undefined
  for (;;) {
    const { hits } = await client.search({
      pit: { id },
      size: documentsPerRequest,
      sort: [{ _shard_doc: 'asc' }],
      ...(after === undefined ? {} : { search_after: after as string[] }),
    })
    if (hits.hits.length === 0) break
    bodies.push(
      hits.hits.flatMap(({ _id, _source }) => [
        JSON.stringify({ index: { _id, version, version_type: 'external_gte' } }),
        JSON.stringify(_source),
      ]),
    )
    after = hits.hits.at(-1)!.sort
  }
  await client.closePointInTime({ id })
  return bodies
}
