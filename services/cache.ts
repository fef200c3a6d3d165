import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

import lockfile from 'proper-lockfile'

/**
 * The folder `name` in the cache; `make` fills it when it is not there. It appears whole or not at all: it is filled
 * under another name and renamed. Of several programs that want it at once, one makes it and the others wait.
 */
export async function cached(
  cache: string,
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const target = path.join(cache, name)
  if (existsSync(target)) return target
  const release = await lockfile.lock(target, {
    realpath: false,
    stale: 15_000,
    retries: { forever: true, minTimeout: 100, maxTimeout: 1000 },
    // The lock only saves a second download; the rename is what keeps the cache whole.
    onCompromised: () => undefined,
  })
  try {
    if (existsSync(target)) return target
    const unfinished = `.${name}.`
    for (const leftOver of await readdir(cache)) {
      if (leftOver.startsWith(unfinished))
        await rm(path.join(cache, leftOver), { recursive: true, force: true })
    }
    const folder = await mkdtemp(path.join(cache, unfinished))
    try {
      await make(folder)
      // The servers may run as another user, whatever this program's umask is.
      await promisify(execFile)('chmod', ['-R', 'a+rX', folder])
      await rename(folder, target)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    return target
  } finally {
    await release().catch(() => undefined)
  }
}
