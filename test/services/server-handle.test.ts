import { readFileSync } from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { once } from 'node:events'

import { expect, test } from 'vitest'

import { Guard } from '../../services/guarded.ts'
import { startServer, type ServerDefinition } from '../../services/server-handle.ts'
import { isRedstreamError } from '../../src/errors.ts'

/** A server that gives up so many times before it listens, and notes each start. */
const program = `
  const fs = require('node:fs')
  const [port, failures, starts] = process.argv.slice(1)
  fs.appendFileSync(starts, 'x')
  if (fs.readFileSync(starts, 'utf8').length <= Number(failures)) {
    console.log('IOException: well-known file /tmp/.java_pid4218 is not secure')
    process.exit(1)
  }
  require('node:net').createServer().listen(Number(port), '127.0.0.1')`

async function definition(failures: number): Promise<ServerDefinition> {
  const guard = await Guard.open({
    folderPrefix: path.join(os.tmpdir(), 'redstream-unlucky-'),
    endSignal: 'SIGKILL',
  })
  return {
    name: 'Elasticsearch',
    errorCode: 'ELASTICSEARCH_UNAVAILABLE',
    guard,
    command: (port) => ({
      file: process.execPath,
      args: ['-e', program, String(port), String(failures), path.join(guard.folder, 'starts')],
      env: {},
    }),
    url: (port) => `http://127.0.0.1:${port}`,
    probe: async (url) => {
      const socket = net.connect(Number(new URL(url).port), '127.0.0.1')
      await once(socket, 'connect')
      socket.destroy()
    },
    portTaken: /Address already in use/,
    pidTaken: /\.java_pid\d+ is not secure/,
    stopSignal: 'SIGTERM',
    readyWithinMs: 60_000,
  }
}

test('a server that cannot have its process id is started again with another one', async () => {
  const server = await startServer(await definition(2))
  try {
    expect(readFileSync(path.join(server.dataDir, 'starts'), 'utf8')).toBe('xxx')
    await server.kill()
    await server.restart()
    expect(readFileSync(path.join(server.dataDir, 'starts'), 'utf8')).toBe('xxxx')
  } finally {
    await server.stop()
  }
})

test('but not for ever, and then it says what the log says', async () => {
  const unlucky = await definition(1_000)
  const error: unknown = await startServer(unlucky).catch((reason: unknown) => reason)
  expect(isRedstreamError(error) && error.message).toMatch(
    /Elasticsearch ended with exit code 1.*is not secure/s,
  )
})
