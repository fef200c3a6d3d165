import type { EntityMetadata } from 'typeorm'
import { expect, test } from 'vitest'

import type { IndexDefinition } from '../../src/indexed.ts'
import { physicalBehind, type NameHolders } from '../../src/indexing/index-state.ts'

const definition: IndexDefinition = {
  name: 'cities',
  stream: 'cities',
  partitions: 1,
  metadata: { name: 'City' } as EntityMetadata,
  options: {},
}
const nothing: NameHolders = { indices: [], aliases: [], data_streams: [] }

// The other cases are shown on the server in index-schema.test.ts; the embedded one has no data streams.
test('a data stream cannot hold the documents', () => {
  const holders = { ...nothing, data_streams: [{ name: 'cities', backing_indices: ['.ds-cities-000001'] }] }
  expect(() => physicalBehind(holders, definition)).toThrow(
    expect.objectContaining({
      code: 'INDEX',
      message: expect.stringMatching(/"cities" is a data stream.*City/) as string,
    }),
  )
})

test('the index behind an alias, which Elasticsearch may answer as a text', () => {
  expect(physicalBehind(nothing, definition)).toBeUndefined()
  for (const indices of ['a', ['a']]) {
    expect(physicalBehind({ ...nothing, aliases: [{ name: 'cities', indices }] }, definition)).toBe('a')
  }
})
