import type { Client } from '@elastic/elasticsearch'

import type { Found } from './differences.ts'

/** Everything that an index holds, by `_id`. */
export async function documentsOf(client: Client, index: string): Promise<Map<string, Found>> {
  await client.indices.refresh({ index })
  const { id } = await client.openPointInTime({ index, keep_alive: '1m' })
  const found = new Map<string, Found>()
  let after: unknown[] | undefined
  try {
    for (;;) {
      const { hits } = await client.search<Record<string, unknown>>({
        pit: { id },
        size: 1_000,
        version: true,
        sort: [{ _shard_doc: 'asc' }],
        ...(after === undefined ? {} : { search_after: after as string[] }),
      })
      for (const { _id, _source, _version } of hits.hits) {
        found.set(_id ?? '', { content: _source ?? {}, version: _version ?? 0 })
      }
      after = hits.hits.at(-1)?.sort
      if (after === undefined) return found
    }
  } finally {
    await client.closePointInTime({ id })
  }
}
