import { errors } from '@elastic/elasticsearch'
import { expect, test } from 'vitest'

import { RedstreamError } from '../../src/errors.ts'
import { describeElasticsearchError, refusalOf, statusOf } from '../../src/indexing/elasticsearch-error.ts'

const address = 'http://127.0.0.1:9200'

const response = (statusCode: number, body: unknown): Error =>
  new errors.ResponseError({ statusCode, body, headers: {}, warnings: null, meta: {} as never })

const refused = (type: string, reason: string, cause?: object): object => ({
  error: { root_cause: [], type, reason, ...(cause && { caused_by: cause }) },
})

test.each([
  [400, 'ELASTICSEARCH'],
  [401, 'ELASTICSEARCH'],
  [403, 'ELASTICSEARCH'],
  [404, 'ELASTICSEARCH'],
  [408, 'ELASTICSEARCH_UNAVAILABLE'],
  [413, 'ELASTICSEARCH'],
  [429, 'ELASTICSEARCH_UNAVAILABLE'],
  [500, 'ELASTICSEARCH'],
  [502, 'ELASTICSEARCH_UNAVAILABLE'],
  [503, 'ELASTICSEARCH_UNAVAILABLE'],
  [504, 'ELASTICSEARCH_UNAVAILABLE'],
])('status %i is %s', (status, code) => {
  const error = response(status, refused('some_exception', 'some reason'))
  expect(describeElasticsearchError(error, address)).toMatchObject({ code, cause: error })
})

test.each([
  [new errors.ConnectionError('connect ECONNREFUSED'), 'ELASTICSEARCH_UNAVAILABLE'],
  [new errors.TimeoutError('Request timed out'), 'ELASTICSEARCH_UNAVAILABLE'],
  [new errors.NoLivingConnectionsError('none', {} as never), 'ELASTICSEARCH_UNAVAILABLE'],
  [new errors.ProductNotSupportedError('x'), 'ELASTICSEARCH'],
  [new errors.DeserializationError('x', '<html>'), 'ELASTICSEARCH'],
  [new errors.RequestAbortedError('aborted'), 'ELASTICSEARCH'],
  [new TypeError('x is not a function'), 'ELASTICSEARCH'],
  ['thrown text', 'ELASTICSEARCH'],
])('%o is %s', (error, code) => {
  const described = describeElasticsearchError(error, address)
  expect(described.code).toBe(code)
  expect(described.message).toContain(address)
})

test('an error of ours stays as it is', () => {
  const error = new RedstreamError('INDEX', 'taken')
  expect(describeElasticsearchError(error, address)).toBe(error)
})

test('a client of another major version is named as the cause', () => {
  const error = response(400, refused('media_type_header_exception', 'Invalid media-type value'))
  expect(describeElasticsearchError(error, address).message).toContain('@elastic/elasticsearch')
})

test('the innermost cause is told when the reason does not hold it', () => {
  const cause = { type: 'a', reason: 'outer cause', caused_by: { type: 'b', reason: 'no such analyzer.' } }
  expect(refusalOf(response(400, refused('mapper', 'Failed to parse', cause)))).toEqual({
    type: 'mapper',
    reason: 'Failed to parse: no such analyzer',
  })
  expect(
    refusalOf(response(400, refused('mapper', 'Failed: outer cause', { reason: 'outer cause' }))),
  ).toEqual({
    type: 'mapper',
    reason: 'Failed: outer cause',
  })
})

test('answers without the usual body', () => {
  expect(refusalOf(response(404, { error: 'alias [x] missing', status: 404 }))).toEqual({
    type: '',
    reason: 'alias [x] missing',
  })
  expect(refusalOf(response(502, '<html>Bad gateway</html>')).type).toBe('')
  expect(refusalOf(new Error('plain'))).toEqual({ type: '', reason: 'plain' })
  expect(statusOf(new Error('plain'))).toBeUndefined()
  expect(statusOf(response(404, ''))).toBe(404)
})
