import fc from 'fast-check'
import { expect, test } from 'vitest'

import { fateOf, fateOfRequest, type Fate } from '../../src/indexing/fate.ts'

const table: [status: number, type: string | undefined, fate: Fate][] = [
  [200, undefined, 'applied'],
  [201, undefined, 'applied'],
  [404, undefined, 'applied'],
  [409, 'version_conflict_engine_exception', 'superseded'],
  [0, 'ConnectionError', 'wait'],
  [0, 'TimeoutError', 'wait'],
  [429, 'es_rejected_execution_exception', 'wait'],
  [429, 'circuit_breaking_exception', 'wait'],
  [429, 'cluster_block_exception', 'wait'],
  [403, 'cluster_block_exception', 'wait'],
  [400, 'index_closed_exception', 'wait'],
  [502, undefined, 'wait'],
  [503, 'unavailable_shards_exception', 'wait'],
  [504, undefined, 'wait'],
  [400, 'document_parsing_exception', 'poison'],
  [400, 'mapper_parsing_exception', 'poison'],
  [400, 'illegal_argument_exception', 'poison'],
  [413, undefined, 'poison'],
  [404, 'index_not_found_exception', 'fatal'],
  [401, 'security_exception', 'fatal'],
  [403, 'security_exception', 'fatal'],
  [400, 'media_type_header_exception', 'fatal'],
]

test.each(table)('%i %s: %s', (status, type, fate) => {
  expect(fateOf({ status, type })).toBe(fate)
})

test('only a 2xx, or a plain 404, counts as applied', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 599 }),
      fc.option(fc.string(), { nil: undefined }),
      (status, type) => {
        const applied = (status >= 200 && status < 300) || (status === 404 && type === undefined)
        expect(fateOf({ status, type }) === 'applied').toBe(applied)
      },
    ),
  )
})

const requests: [status: number, type: string | undefined, fate: Fate][] = [
  // A proxy whose backend is gone, or that does not know the path.
  [404, undefined, 'fatal'],
  [400, undefined, 'fatal'],
  [405, undefined, 'fatal'],
  [409, undefined, 'fatal'],
  [503, undefined, 'wait'],
  [0, 'ConnectionError', 'wait'],
  [413, undefined, 'poison'],
  [400, 'illegal_argument_exception', 'poison'],
  [401, 'security_exception', 'fatal'],
]

test.each(requests)('a whole request answered with %i %s: %s', (status, type, fate) => {
  expect(fateOfRequest({ status, type })).toBe(fate)
})

test('no answer to a whole request says that its documents are in the index', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 599 }),
      fc.option(fc.string(), { nil: undefined }),
      (status, type) => {
        expect(['wait', 'poison', 'fatal']).toContain(fateOfRequest({ status, type }))
      },
    ),
  )
})
