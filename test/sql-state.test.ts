import { QueryFailedError } from 'typeorm'
import { expect, it } from 'vitest'

import { RedstreamError } from '../src/errors.ts'
import { sqlStateOf } from '../src/sql-state.ts'

const driverError = Object.assign(new Error('no'), { code: '25P02' })
const failed = new QueryFailedError('SELECT 1', [], driverError)

it.each([
  ['an error of the driver', driverError, '25P02'],
  ['an error of TypeORM', failed, '25P02'],
  ['the cause of an error of ours', new RedstreamError('DATABASE', 'no', { cause: failed }), '25P02'],
  [
    'an error of mysql2',
    Object.assign(new Error('no'), { code: 'ER_DUP_ENTRY', sqlState: '23000' }),
    '23000',
  ],
])('finds it in %s', (_, error, state) => {
  expect(sqlStateOf(error)).toBe(state)
})

it.each([
  ['a lost connection', Object.assign(new Error('no'), { code: 'EPIPE' })],
  [
    'a refused one',
    new QueryFailedError('SELECT 1', [], Object.assign(new Error('no'), { code: 'ECONNREFUSED' })),
  ],
  ['what is no error', undefined],
  ['an error of ours without a cause', new RedstreamError('DATABASE', 'no')],
])('finds none in %s', (_, error) => {
  expect(sqlStateOf(error)).toBeUndefined()
})
