import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { describe, expect, it, onTestFinished } from 'vitest'

import { parseListenAddress, serveHttp, type Answer, type HttpEndpoints } from '../../src/runtime/http.ts'
import { parseValue } from '../../src/runtime/option-values.ts'
import { options } from '../../src/runtime/options.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'

const log: LogLine[] = []

async function serve(paths: Record<string, () => Promise<Answer>>): Promise<HttpEndpoints> {
  const address = { host: '127.0.0.1', port: 0 }
  const server = await serveHttp(address, new Map(Object.entries(paths)), recordingLogger(log))
  onTestFinished(() => server.close())
  return server
}

const hello = async (): Promise<Answer> => ({ status: 200, type: 'text/plain', body: 'hello é\n' })

describe('the setting http', () => {
  it.each([
    ['9400', '127.0.0.1', 9400],
    ['0', '127.0.0.1', 0],
    ['0.0.0.0:9400', '0.0.0.0', 9400],
    ['worker-1.example:65535', 'worker-1.example', 65_535],
    ['[::1]:9400', '::1', 9400],
  ])('%s is %s, port %d', (text, host, port) => {
    expect(parseValue(options.http, text)).toEqual({ value: text })
    expect(parseListenAddress(text)).toEqual({ host, port })
  })

  it.each([
    '65536',
    '99999',
    ':9400',
    'host:',
    'host',
    '::1:9400',
    'http://host:9400',
    'a b:9400',
    '-1',
    9400,
  ])('%j is refused', (value) => {
    expect(parseValue(options.http, value)).toEqual({ allowed: options.http.allowed })
  })
})

describe('the server', () => {
  it('answers GET and HEAD on its paths, also with a query', async () => {
    const { url } = await serve({ '/a': hello })
    const got = await fetch(`${url}/a?b=c`)
    expect([got.status, got.headers.get('content-type'), await got.text()]).toEqual([
      200,
      'text/plain',
      'hello é\n',
    ])
    const head = await fetch(`${url}/a`, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '9', ''])
  })

  it('says what there is, and refuses to be written to', async () => {
    const { url } = await serve({ '/a': hello, '/b': hello })
    const missing = await fetch(`${url}/c`)
    expect([missing.status, await missing.text()]).toEqual([404, 'there is /a, /b\n'])
    expect((await fetch(`${url}/a`, { method: 'POST', body: 'x' })).status).toBe(405)
  })

  it('logs what fails, and tells nobody else', async () => {
    const { url } = await serve({ '/a': () => Promise.reject(new Error('s3cret')) })
    const failed = await fetch(`${url}/a`)
    expect([failed.status, await failed.text()]).toEqual([500, 'failed; see the log\n'])
    expect(log.at(-1)).toMatchObject({ level: 'error', facts: { path: '/a', err: { message: 's3cret' } } })
  })

  it('answers what was asked before its end, and nothing after it', async () => {
    let release = (): void => undefined
    let asked = (): void => undefined
    const isAsked = new Promise<void>((resolve) => (asked = resolve))
    const server = await serve({
      '/a': hello,
      '/slow': async () => {
        asked()
        await new Promise<void>((resolve) => (release = resolve))
        return hello()
      },
    })
    await (await fetch(`${server.url}/a`)).text()
    const slow = fetch(`${server.url}/slow`)
    await isAsked
    const closed = server.close()
    release()
    expect(await (await slow).text()).toBe('hello é\n')
    await closed
    await expect(fetch(`${server.url}/a`)).rejects.toThrow()
  })

  it('names the address and the setting when it cannot listen', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void other.close())
    const { port } = other.address() as AddressInfo
    await expect(
      serveHttp({ host: '127.0.0.1', port }, new Map(), recordingLogger(log)),
    ).rejects.toMatchObject({
      code: 'HTTP',
      message: `health and metrics cannot be served on 127.0.0.1:${port}: another process has it; see --http (setting http, REDSTREAM_HTTP)`,
    })
    await expect(
      serveHttp({ host: '192.0.2.1', port: 0 }, new Map(), recordingLogger(log)),
    ).rejects.toMatchObject({
      code: 'HTTP',
      message: expect.stringContaining('not an address of this machine'),
    })
  })
})
