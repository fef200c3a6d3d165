import { randomBytes } from 'node:crypto'
import { chown, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import { Guard } from './guarded.ts'
import { temporaryFolder } from './locations.ts'
import { findPostgres } from './postgres-binary.ts'
import { probePostgres } from './probes.ts'
import { serverUser, type ServerUser } from './run-as.ts'
import { lastLines, startServer, type ServerHandle } from './server-handle.ts'

export interface PostgresOptions {
  /** Writes commits to the disk, so that `kill` and `restart` lose nothing. Default: off, which is faster. */
  readonly fsync?: boolean
  /** Default: 200. */
  readonly maxConnections?: number
  /** More settings, for example `{ statement_timeout: '5s' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * Starts a PostgreSQL of one's own with `wal_level=logical`; the URL is that of its superuser.
 *
 * @throws RedstreamError DATABASE: there is none for this platform, or it ended while starting; TIMEOUT: it did not
 * answer in time.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<ServerHandle> {
  const user = serverUser()
  const bin = path.join(await findPostgres(user), 'bin')
  const guard = await Guard.open({
    folderPrefix: path.join(temporaryFolder(user), 'redstream-postgres-'),
    // "Immediate shutdown": unlike SIGKILL it leaves no shared memory behind.
    endSignal: 'SIGQUIT',
    ...(user === undefined ? {} : { owner: user }),
  })
  const data = path.join(guard.folder, 'data')
  const password = randomBytes(12).toString('hex')
  const env = { PATH: process.env['PATH'] ?? '', HOME: guard.folder, LC_ALL: 'C' }
  try {
    await initialise(guard, path.join(bin, 'initdb'), data, password, user, env)
  } catch (error) {
    await guard.close()
    throw error
  }
  return startServer({
    name: 'PostgreSQL',
    errorCode: 'DATABASE',
    guard,
    command: (port) => ({
      file: path.join(bin, 'postgres'),
      args: ['-D', data, '-p', String(port), ...settingArguments(options)],
      env,
    }),
    url: (port) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    // The password is random: no other server accepts it.
    probe: (url) => probePostgres(url),
    portTaken: /Address already in use/,
    stopSignal: 'SIGINT',
    readyWithinMs: 60_000,
  })
}

function settingArguments({ fsync = false, maxConnections = 200, settings }: PostgresOptions): string[] {
  const all: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: String(maxConnections),
    wal_level: 'logical',
    max_wal_senders: '20',
    max_replication_slots: '20',
    shared_buffers: '256MB',
    fsync: fsync ? 'on' : 'off',
    full_page_writes: fsync ? 'on' : 'off',
    // Segments in /dev/shm outlive a killed server, files in its data folder are removed with it.
    dynamic_shared_memory_type: 'mmap',
    ...settings,
  }
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

async function initialise(
  guard: Guard,
  initdb: string,
  data: string,
  password: string,
  user: ServerUser | undefined,
  env: Record<string, string>,
): Promise<void> {
  const passwordFile = path.join(guard.folder, 'password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (user !== undefined) await chown(passwordFile, user.uid, user.gid)
  const args = [
    `--pgdata=${data}`,
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // The same order and upper case of letters on every machine, whatever locales it has.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-sync',
  ]
  const { code, output } = await guard.run({ file: initdb, args, env })
  await rm(passwordFile)
  if (code !== 0) {
    throw new RedstreamError('DATABASE', `PostgreSQL could not make its data folder. ${lastLines(output)}`)
  }
}
