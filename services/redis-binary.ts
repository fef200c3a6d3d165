import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, rm } from 'node:fs/promises'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import { cached } from './cache.ts'
import { cacheFolder } from './locations.ts'
import { downloadWithMaven, runToEnd } from './maven.ts'
import { isOpenTo, type ServerUser } from './run-as.ts'
import { unzip } from './unzip.ts'

/** A program that is Redis when it is called `redis-server`. */
export interface RedisBinary {
  readonly file: string
  readonly argv0: string
}

const ARTIFACT = 'com.github.codemonstur:embedded-redis:1.4.3'

/**
 * Debian's package `redis-server` is only a service around the program in `redis-tools`, where it is called
 * `redis-check-rdb` and chooses its role by the name it is called by. Taking that one installs no service.
 */
const DEBIAN_BINARY: RedisBinary = { file: '/usr/bin/redis-check-rdb', argv0: 'redis-server' }

/** Finds a Redis of at least 6.2 on the PATH, else from Debian's package when root, else from Maven's jar. */
export async function findRedis(
  user: ServerUser | undefined,
  progress: (line: string) => void,
): Promise<RedisBinary> {
  const present = [...redisOnPath(), DEBIAN_BINARY].find((binary) => isUsable(binary, user))
  if (present !== undefined) return present
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    progress('Redis: installing the package redis-tools')
    if ((await installRedisTools()) && isUsable(DEBIAN_BINARY, user)) return DEBIAN_BINARY
    progress('Redis: the package could not be installed')
  }
  return redisFromJar(user, progress)
}

function redisOnPath(): RedisBinary[] {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter)
  return ['redis-server', 'valkey-server'].flatMap((name) =>
    folders
      .map((folder) => path.join(folder, name))
      .filter((file) => existsSync(file))
      .map((file) => ({ file, argv0: name })),
  )
}

function isUsable(binary: RedisBinary, user: ServerUser | undefined): boolean {
  if (!existsSync(binary.file) || !isOpenTo(user, binary.file)) return false
  const { stdout, status } = spawnSync(binary.file, ['--version'], { argv0: binary.argv0, encoding: 'utf8' })
  return status === 0 && isNewEnough(stdout)
}

/** Reads the output of `redis-server --version`; Redstream needs 6.2, for XAUTOCLAIM and XTRIM MINID. */
export function isNewEnough(versionOutput: string): boolean {
  const match = /v=(\d+)\.(\d+)/.exec(versionOutput)
  return match !== null && Number(match[1]) * 1000 + Number(match[2]) >= 6002
}

async function installRedisTools(): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (...args: string[]): Promise<{ code: number }> =>
    runToEnd('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], '/', env)
  const install = ['install', '--yes', '--no-install-recommends', 'redis-tools']
  if ((await apt(...install)).code === 0) return true
  // Nothing is known of the package, or only of a version that is no longer offered.
  return (await apt('update')).code === 0 && (await apt(...install)).code === 0
}

/** The name in the jar of the program for a platform, without the version; undefined when there is none. */
export function jarEntrySuffix(platform: string, arch: string): string | undefined {
  const os = { linux: 'linux', darwin: 'darwin' }[platform]
  const cpu = { x64: 'amd64', arm64: 'arm64', ia32: '386' }[arch]
  return os === undefined || cpu === undefined ? undefined : `-${os}-${cpu}`
}

async function redisFromJar(
  user: ServerUser | undefined,
  progress: (line: string) => void,
): Promise<RedisBinary> {
  const otherwise = 'install redis-server, or set REDIS_URL to a server that runs already'
  const suffix = jarEntrySuffix(process.platform, process.arch)
  if (suffix === undefined) {
    const platform = `${process.platform} on ${process.arch}`
    throw new RedstreamError('REDIS', `There is no Redis to download for ${platform}: ${otherwise}.`)
  }
  const folder = await cached(cacheFolder(user), 'redis-6.2', async (unfinished) => {
    progress('Redis: downloading 6.2 (12 MB) with Maven, once')
    const jar = await downloadWithMaven({ artifact: ARTIFACT, errorCode: 'REDIS', otherwise }, unfinished)
    await unzip(jar, unfinished, (name) => (name.endsWith(suffix) ? 'redis-server' : undefined))
    await rm(jar)
    const file = path.join(unfinished, 'redis-server')
    await chmod(file, 0o755)
    execFileSync(file, ['--version'])
  })
  return { file: path.join(folder, 'redis-server'), argv0: 'redis-server' }
}
