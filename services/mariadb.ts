import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import { Guard } from './guarded.ts'
import { temporaryFolder } from './locations.ts'
import { findMariadb, mariadbEnvironment, systemTables, type MariadbBinary } from './mariadb-binary.ts'
import { probeMariadb } from './probes.ts'
import { serverUser } from './run-as.ts'
import { lastLines, startServer, type ServerHandle } from './server-handle.ts'

export interface MariadbOptions {
  readonly progress?: (line: string) => void
}

/**
 * Starts a MariaDB of one's own; the URL is that of a user who may do everything, without a database. Commits are not
 * flushed to the disk.
 *
 * @throws RedstreamError DATABASE: there is none for this system, or it ended while starting; TIMEOUT: it did not
 * answer in time.
 */
export async function startMariadb(options: MariadbOptions = {}): Promise<ServerHandle> {
  const user = serverUser()
  const binary = await findMariadb(user, options.progress ?? (() => undefined))
  const guard = await Guard.open({
    folderPrefix: path.join(temporaryFolder(user), 'redstream-mariadb-'),
    endSignal: 'SIGKILL',
    ...(user === undefined ? {} : { owner: user }),
  })
  const env = mariadbEnvironment(binary, guard.folder)
  const password = randomBytes(12).toString('hex')
  const common = commonArguments(binary, guard.folder)
  try {
    await initialise(guard, binary, common, password, env)
  } catch (error) {
    await guard.close()
    throw error
  }
  return startServer({
    name: 'MariaDB',
    errorCode: 'DATABASE',
    guard,
    command: (port) => ({
      file: binary.file,
      args: [...common, '--bind-address=127.0.0.1', `--port=${port}`, '--socket=', '--max-connections=500'],
      env,
    }),
    url: (port) => `mysql://redstream:${password}@127.0.0.1:${port}`,
    // The password is random: no other server accepts it.
    probe: (url) => probeMariadb(url),
    portTaken: /Address already in use/,
    stopSignal: 'SIGTERM',
    readyWithinMs: 60_000,
  })
}

function commonArguments({ share }: MariadbBinary, folder: string): string[] {
  return [
    // Not the settings of an installed server.
    '--no-defaults',
    `--datadir=${folder}/data`,
    `--tmpdir=${folder}`,
    `--lc-messages-dir=${share}`,
    `--character-sets-dir=${path.join(share, 'charsets')}`,
    '--character-set-server=utf8mb4',
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-log-file-size=16M',
    '--innodb-buffer-pool-size=64M',
  ]
}

async function initialise(
  guard: Guard,
  binary: MariadbBinary,
  common: readonly string[],
  password: string,
  env: Record<string, string>,
): Promise<void> {
  await guard.run({ file: 'mkdir', args: [`${guard.folder}/data`], env })
  // Read line by line, each statement beginning on a line of its own.
  const sql = [
    'CREATE DATABASE mysql;',
    'USE mysql;',
    await readFile(systemTables(binary.share), 'utf8'),
    'FLUSH PRIVILEGES;',
    `CREATE USER redstream@'127.0.0.1' IDENTIFIED BY '${password}';`,
    `GRANT ALL PRIVILEGES ON *.* TO redstream@'127.0.0.1' WITH GRANT OPTION;`,
    '',
  ].join('\n')
  const args = [...common, '--bootstrap', '--skip-networking']
  const { code, output } = await guard.run({ file: binary.file, args, env }, sql)
  if (code !== 0) {
    throw new RedstreamError('DATABASE', `MariaDB could not make its data folder. ${lastLines(output)}`)
  }
}
