import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import { isOpenTo, type ServerUser } from './run-as.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where downloads are kept: `REDSTREAM_CACHE`, else `XDG_CACHE_HOME/redstream`, else `~/.cache/redstream`. */
export function wantedCacheFolder(env: Environment, home: string): string {
  if (env['REDSTREAM_CACHE']) return path.resolve(env['REDSTREAM_CACHE'])
  return path.join(env['XDG_CACHE_HOME'] || path.join(home, '.cache'), 'redstream')
}

/**
 * The cache folder, made if it is missing. The servers' user must be able to read it, and root's home is closed to
 * others: then it is `/var/cache/redstream`.
 */
export function cacheFolder(user: ServerUser | undefined, env: Environment = process.env): string {
  const wanted = wantedCacheFolder(env, os.homedir())
  const explicit = Boolean(env['REDSTREAM_CACHE'])
  const folder = explicit || isOpenTo(user, nearestExisting(wanted)) ? wanted : '/var/cache/redstream'
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    accessSync(folder, constants.W_OK)
  } catch (error) {
    const message = `Downloads cannot be kept in ${folder}: it cannot be written. Set REDSTREAM_CACHE to a folder that can.`
    throw new RedstreamError('CONFIG', message, { cause: error })
  }
  if (isOpenTo(user, folder)) return folder
  const message = `Downloads cannot be kept in ${folder}: the user "${user?.name}" cannot read it, and the servers run as that user because this is root. Set REDSTREAM_CACHE to another folder.`
  throw new RedstreamError('CONFIG', message)
}

function nearestExisting(folder: string): string {
  return existsSync(folder) ? folder : nearestExisting(path.dirname(folder))
}

/** Where the data folders are made: the system's temporary folder, or `/tmp` when the servers' user cannot enter it. */
export function temporaryFolder(user: ServerUser | undefined): string {
  return isOpenTo(user, os.tmpdir()) ? os.tmpdir() : '/tmp'
}
