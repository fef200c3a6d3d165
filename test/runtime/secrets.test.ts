import * as fc from 'fast-check'
import { expect, it } from 'vitest'

import { redactSecrets, redactValue } from '../../src/runtime/secrets.ts'

it.each([
  ['redis://user:s3cret@host:6379/0', 'redis://***@host:6379/0'],
  ['postgres://u:p@ss/w:rd@db.internal/app failed', 'postgres://***@db.internal/app failed'],
  ['at "https://elastic:s3cret@es:9200", retrying', 'at "https://***@es:9200", retrying'],
  ['redis://:s3cret@a:1 and redis://:other@b:2', 'redis://***@a:1 and redis://***@b:2'],
  ['host=db password=s3cret user=app', 'host=db password=*** user=app'],
  ['jdbc:x?user=a&password=s3cret&ssl=true', 'jdbc:x?user=a&password=***&ssl=true'],
  ['{"username":"a","password":"s3cret word"}', '{"username":"a","password":"***"}'],
  [`{ password: 's3cret', apiKey: "abc" }`, `{ password: '***', apiKey: "***" }`],
  ['authorization: ApiKey c2VjcmV0', 'authorization: ApiKey ***'],
  ['{"authorization":"Basic c2VjcmV0"}', '{"authorization":"Basic ***"}'],
])('redacts %s', (text, redacted) => {
  expect(redactSecrets(text)).toBe(redacted)
})

it.each([
  'password authentication failed for user "app"',
  'connect ECONNREFUSED 127.0.0.1:6379',
  'http://127.0.0.1:9200/cities/_bulk answered 429',
  'write to alice@example.com',
])('leaves %s alone', (text) => {
  expect(redactSecrets(text)).toBe(text)
})

it('leaves no password of a URL, whatever stands around it', () => {
  const password = fc.stringMatching(/^[A-Z]{8}[!-~]{0,8}$/).filter((text) => !/["'`\s]/.test(text))
  fc.assert(
    fc.property(password, fc.lorem(), (secret, words) => {
      expect(redactSecrets(`${words} redis://u:${secret}@host/0 ${words}`)).not.toContain(secret.slice(0, 8))
    }),
  )
})

it('takes the secrets out of a JSON value', () => {
  const value = {
    msg: 'redis://app:s3cret@host',
    list: [{ Password: 's3cret', user: 'app' }],
    nested: JSON.stringify({ password: 'a"s3cret' }),
    count: 1,
    none: null,
  }
  expect(redactValue(value)).toEqual({
    msg: 'redis://***@host',
    list: [{ Password: '***', user: 'app' }],
    nested: '{"password":"***"}',
    count: 1,
    none: null,
  })
})
