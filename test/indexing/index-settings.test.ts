import type { EntityMetadata } from 'typeorm'
import { describe, expect, test } from 'vitest'

import type { IndexDefinition } from '../../src/indexed.ts'
import { deriveSettings, flattenSettings, timeValueMs } from '../../src/indexing/index-settings.ts'

const define = (settings?: Record<string, unknown>): IndexDefinition => ({
  name: 'cities',
  stream: 'cities',
  partitions: 1,
  metadata: { name: 'City' } as EntityMetadata,
  options: settings === undefined ? {} : { settings },
})

test('every way to write a setting is the same setting', () => {
  const expected = { 'index.mapping.total_fields.limit': 5 }
  expect(flattenSettings({ mapping: { total_fields: { limit: 5 } } })).toEqual(expected)
  expect(flattenSettings({ index: { 'mapping.total_fields': { limit: 5 } } })).toEqual(expected)
  expect(flattenSettings({ 'index.mapping.total_fields.limit': 5 })).toEqual(expected)
  expect(flattenSettings({ analysis: { filter: { stops: { stopwords: ['a'] } } } })).toEqual({
    'index.analysis.filter.stops.stopwords': ['a'],
  })
})

describe('gc_deletes', () => {
  test('is an hour unless the user says more', () => {
    expect(deriveSettings(define())).toEqual({ 'index.gc_deletes': '1h' })
    expect(deriveSettings(define({ gc_deletes: '2d', number_of_shards: 3 }))).toEqual({
      'index.gc_deletes': '2d',
      'index.number_of_shards': 3,
    })
  })

  test.each([
    [{ gc_deletes: '19m' }, 10],
    [{ index: { gc_deletes: '60s' } }, 10],
    [{ 'index.gc_deletes': -1 }, 10],
    [{ gc_deletes: '0' }, 10],
    // Null leaves it to Elasticsearch, whose default is a minute.
    [{ gc_deletes: null }, 10],
    [{}, 31],
    [{ gc_deletes: 'an hour' }, 10],
    [{ gc_deletes: 60 }, 10],
  ])('%j is refused with tickets of up to %i minutes', (settings, minutes) => {
    expect(() => deriveSettings(define(settings), minutes * 60_000)).toThrow(
      expect.objectContaining({
        code: 'ENTITY',
        message: expect.stringMatching(/City.*gc_deletes/) as string,
      }),
    )
  })

  test('twice the age of the oldest ticket is enough', () => {
    expect(deriveSettings(define({ gc_deletes: '20m' }), 10 * 60_000)).toEqual({ 'index.gc_deletes': '20m' })
  })
})

test('null leaves a setting to Elasticsearch', () => {
  expect(deriveSettings(define({ refresh_interval: null }))).toEqual({ 'index.gc_deletes': '1h' })
})

test.each([
  ['1h', 3_600_000],
  ['90s', 90_000],
  ['250ms', 250],
  ['2d', 172_800_000],
  ['1000micros', 1],
  ['-1', -1],
  ['0', 0],
  ['1.5h', undefined],
  ['60', undefined],
  ['1 week', undefined],
])('time value %s', (text, ms) => {
  expect(timeValueMs(text)).toBe(ms)
})
