import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import { cached } from './cache.ts'
import { cacheFolder } from './locations.ts'
import { runToEnd } from './maven.ts'
import { isOpenTo, type ServerUser } from './run-as.ts'

/** A MariaDB server program, and what it needs beside itself. */
export interface MariadbBinary {
  readonly file: string
  /** The folder of its messages, character sets, and of the SQL that makes its system tables. */
  readonly share: string
  /** Folders of libraries that the system does not have. */
  readonly libraries: readonly string[]
}

const PACKAGE = 'mariadb-server-core'
const OTHERWISE = 'set MARIADB_URL to a server that runs already, or install MariaDB'

/**
 * Finds an installed MariaDB, else takes Debian's package: unpacked into the cache, with the libraries that the system
 * lacks, and not installed, so no service comes with it.
 *
 * @throws RedstreamError DATABASE when there is neither
 */
export async function findMariadb(
  user: ServerUser | undefined,
  progress: (line: string) => void,
): Promise<MariadbBinary> {
  const installed = unpackedIn('/', user) ?? unpackedIn('/usr/local', user)
  if (installed !== undefined) return installed
  if (!existsSync('/usr/bin/apt-get')) {
    const message = `There is no MariaDB here, and no Debian package of it to unpack: ${OTHERWISE}.`
    throw new RedstreamError('DATABASE', message)
  }
  const folder = await cached(cacheFolder(user), PACKAGE, async (unfinished) => {
    progress("MariaDB: downloading Debian's package (8 MB), once")
    await unpackPackage(unfinished)
  })
  const unpacked = unpackedIn(folder, user)
  if (unpacked !== undefined) return unpacked
  const message = `The MariaDB in ${folder} does not run here: remove that folder, or ${OTHERWISE}.`
  throw new RedstreamError('DATABASE', message)
}

function unpackedIn(root: string, user: ServerUser | undefined): MariadbBinary | undefined {
  const below = (...folders: string[]): string[] => folders.map((folder) => path.join(root, folder))
  const programs = below('usr/sbin/mariadbd', 'sbin/mariadbd', 'bin/mariadbd')
  const shares = below('usr/share/mysql', 'usr/share/mariadb', 'share/mysql', 'share/mariadb')
  const file = programs.find((program) => existsSync(program) && isOpenTo(user, program))
  const share = shares.find((folder) => existsSync(systemTables(folder)))
  if (file === undefined || share === undefined) return undefined
  const binary = { file, share, libraries: root === '/' ? [] : librariesIn(root) }
  const env = mariadbEnvironment(binary, root)
  return spawnSync(file, ['--no-defaults', '--version'], { env }).status === 0 ? binary : undefined
}

/** The SQL that makes the system tables of an empty server. */
export function systemTables(share: string): string {
  return path.join(share, 'mysql_system_tables.sql')
}

/** The environment that the program needs to find its libraries. */
export function mariadbEnvironment({ libraries }: MariadbBinary, home: string): Record<string, string> {
  const found = libraries.length === 0 ? {} : { LD_LIBRARY_PATH: libraries.join(':') }
  return { PATH: process.env['PATH'] ?? '', HOME: home, LC_ALL: 'C', ...found }
}

/** Debian keeps the libraries of each architecture in a folder of its own. */
function librariesIn(root: string): string[] {
  return ['usr/lib', 'lib']
    .map((folder) => path.join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.includes('-linux-'))
        .map((name) => path.join(folder, name)),
    )
}

async function unpackPackage(folder: string): Promise<void> {
  const archives = path.join(folder, 'archives')
  await mkdir(path.join(archives, 'partial'), { recursive: true })
  // Nothing is installed, so nothing needs to be locked: this works beside another apt, and without root.
  const download = [
    ['-o', `Dir::Cache::archives=${archives}`, '-o', 'Debug::NoLocking=1'],
    ['--yes', '--no-install-recommends', '--download-only', 'install', PACKAGE],
  ].flat()
  const apt = (args: readonly string[]): Promise<{ code: number; output: string }> =>
    runToEnd('apt-get', args, '/', { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' })
  let result = await apt(download)
  // Nothing is known of the package, or only of a version that is no longer offered.
  if (result.code !== 0 && (await apt(['update'])).code === 0) result = await apt(download)
  if (result.code !== 0) {
    const reason = /^E: .+$/m.exec(result.output)?.[0] ?? `apt-get ended with exit code ${result.code}`
    const message = `Debian's package ${PACKAGE} could not be downloaded (${reason}): ${OTHERWISE}.`
    throw new RedstreamError('DATABASE', message)
  }
  for (const name of await readdir(archives)) {
    if (name.endsWith('.deb')) execFileSync('dpkg', ['-x', path.join(archives, name), folder])
  }
  await rm(archives, { recursive: true })
}
