import type { EntityMetadata } from 'typeorm'
import { expect, it } from 'vitest'

import { LogDecoder } from '../../src/audit/log-decoder.ts'
import type { WatchedTable } from '../../src/capture/watched-table.ts'

it('knows tables whose number is above 2^31, which the library reads with a sign', () => {
  const metadata = { tablePath: 'cities' } as EntityMetadata
  const table: WatchedTable = { metadata, key: [], former: [], columns: new Set() }
  const decoder = new LogDecoder(new Map([[2 ** 32 - 5, table]]))
  const relation = {
    tag: 'relation',
    relationOid: -5,
    schema: 'public',
    name: 'cities',
    replicaIdentity: 'default',
    columns: [],
    keyColumns: [],
  } as const
  const told = decoder.decode({
    tag: 'truncate',
    cascade: false,
    restartIdentity: false,
    relations: [{ ...relation, columns: [], keyColumns: [] }],
  })
  expect(told).toMatchObject([{ metadata, kind: 'truncate' }])
})
