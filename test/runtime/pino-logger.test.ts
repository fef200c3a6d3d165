import path from 'node:path'

import { execa } from 'execa'
import { expect, it } from 'vitest'

const logger = path.join(import.meta.dirname, '../../src/runtime/pino-logger.ts')

/** What a process writes to stderr that logs with the given settings. */
async function logged(settings: object, body: string): Promise<string> {
  const code = `import { createLogger } from ${JSON.stringify(logger)}
    const logger = createLogger(${JSON.stringify(settings)})
    ${body}
    process.exit(0)`
  const { stdout, stderr } = await execa(process.execPath, ['--input-type=module', '--eval', code])
  expect(stdout).toBe('')
  return stderr
}

it('writes JSON lines, with type, message, code and causes of errors, without secrets and stacks', async () => {
  const text = await logged(
    { level: 'info' },
    `const cause = Object.assign(new TypeError('redis://app:s3cret@host is down'), { code: 'ECONNREFUSED' })
     cause.cause = cause
     logger.debug({}, 'too little')
     logger.error({ err: new Error('no answer', { cause }), stream: 'cities' }, 'cannot go on')`,
  )
  const { err, ...line } = JSON.parse(text) as Record<string, unknown>
  expect(line).toMatchObject({ level: 'error', stream: 'cities', msg: 'cannot go on' })
  expect(err).toMatchObject({
    type: 'Error',
    message: 'no answer',
    cause: { type: 'TypeError', message: 'redis://***@host is down', code: 'ECONNREFUSED' },
  })
  expect(text).not.toMatch(/s3cret|stack/)
})

it('adds the stack at level debug', async () => {
  const text = await logged({ level: 'debug' }, `logger.warn({ err: new Error('x') }, 'y')`)
  expect(JSON.parse(text)).toMatchObject({ err: { stack: expect.stringContaining('Error: x') } })
})

it('writes text for people when it is asked to, without secrets', async () => {
  const text = await logged(
    { level: 'info', json: false },
    `logger.info({ url: 'redis://app:s3cret@host' }, 'consumers are running')`,
  )
  expect(text).toContain('consumers are running')
  expect(text).toContain('redis://***@host')
  expect(() => JSON.parse(text) as unknown).toThrow()
})
