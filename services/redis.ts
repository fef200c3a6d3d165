import { chown, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { Guard } from './guarded.ts'
import { temporaryFolder } from './locations.ts'
import { probeRedis } from './probes.ts'
import { findRedis } from './redis-binary.ts'
import { serverUser } from './run-as.ts'
import { startServer, type ServerHandle } from './server-handle.ts'

export interface RedisOptions {
  /** Writes every command to the disk before it is answered, so that `kill` and `restart` lose nothing. Default: off. */
  readonly appendOnly?: boolean
  /** Default: none. */
  readonly password?: string
  /** More settings, for example `['--maxmemory', '100mb']`. */
  readonly args?: readonly string[]
  readonly progress?: (line: string) => void
}

/**
 * Starts a Redis of one's own. Without `appendOnly` its data are gone when it ends.
 *
 * @throws RedstreamError REDIS: none was found and none could be downloaded, or it ended while starting; TIMEOUT: it
 * did not answer in time.
 */
export async function startRedis(options: RedisOptions = {}): Promise<ServerHandle> {
  const user = serverUser()
  const binary = await findRedis(user, options.progress ?? (() => undefined))
  const guard = await Guard.open({
    folderPrefix: path.join(temporaryFolder(user), 'redstream-redis-'),
    endSignal: 'SIGKILL',
    ...(user === undefined ? {} : { owner: user }),
  })
  const config = path.join(guard.folder, 'redis.conf')
  await writeFile(config, redisConfig(options), { mode: 0o600 })
  if (user !== undefined) await chown(config, user.uid, user.gid)
  const credentials = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}@`
  return startServer({
    name: 'Redis',
    errorCode: 'REDIS',
    guard,
    command: (port) => ({
      ...binary,
      args: [config, '--port', String(port), ...(options.args ?? [])],
      env: { PATH: process.env['PATH'] ?? '', HOME: guard.folder, LC_ALL: 'C' },
    }),
    url: (port) => `redis://${credentials}127.0.0.1:${port}`,
    probe: async (url, pid) => {
      if ((await probeRedis(url)).pid !== pid) throw new Error('another Redis answered')
    },
    portTaken: /Address already in use/,
    stopSignal: 'SIGTERM',
    readyWithinMs: 60_000,
  })
}

function redisConfig({ appendOnly = false, password }: RedisOptions): string {
  const lines = ['bind 127.0.0.1', 'daemonize no', 'save ""', `appendonly ${appendOnly ? 'yes' : 'no'}`]
  if (appendOnly) lines.push('appendfsync always')
  // In double quotes Redis reads \xHH, so that any password can be written.
  if (password !== undefined) lines.push(`requirepass "${quoted(password)}"`)
  return `${lines.join('\n')}\n`
}

function quoted(text: string): string {
  return [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}
