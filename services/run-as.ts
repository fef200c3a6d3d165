import { execFileSync, spawnSync } from 'node:child_process'

import { RedstreamError } from '../src/errors.ts'

/** The user that the servers run as when the program itself is root: PostgreSQL and Elasticsearch refuse root. */
export interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** `nobody` for root, which every system has; undefined for an ordinary user: the servers run as itself. */
export function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const name = 'nobody'
  try {
    return { name, uid: idOf(name, '-u'), gid: idOf(name, '-g') }
  } catch (error) {
    const message = `PostgreSQL and Elasticsearch do not run as root, and this system has no user "${name}" to run them as. Start this as an ordinary user.`
    throw new RedstreamError('CONFIG', message, { cause: error })
  }
}

function idOf(name: string, flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }).toString())
}

/** True when the user that the servers run as can read and enter a folder, or read and execute a file. */
export function isOpenTo(user: ServerUser | undefined, file: string): boolean {
  const identity = user === undefined ? {} : { uid: user.uid, gid: user.gid }
  return spawnSync('test', ['-r', file, '-a', '-x', file], { ...identity, cwd: '/' }).status === 0
}
