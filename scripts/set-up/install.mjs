import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { ExpectedError, runQuietly } from './command.mjs'

const NODE_MAJOR = 24

/**
 * Runs `npm ci` when what is installed is not what package-lock.json asks for. npm's own record of what it installed
 * tells: it is written last, so an install that was broken off counts as none, and one that the user ran counts.
 *
 * @param {string} root
 * @param {(line: string) => void} progress
 * @param {(pid: number) => void} onStart is told the process that installs
 */
export async function install(root, progress, onStart) {
  const wanted = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'))
  const record = path.join(root, 'node_modules', '.package-lock.json')
  if (existsSync(record) && isCurrent(wanted, JSON.parse(readFileSync(record, 'utf8')))) return
  progress('npm ci')
  const { exitCode, output } = await npm(['ci', '--loglevel=error'], root, onStart)
  if (exitCode === 0) return
  const message = `npm ci failed with exit code ${exitCode}. Check the network and npm's settings, then try again.\n`
  // The first lines name the reason; long lists may follow.
  throw new ExpectedError(message + output.trim().split('\n').slice(0, 12).join('\n'))
}

/**
 * Whether every package of the lock file is installed in its version. Optional ones may be missing: most of them are
 * for other platforms.
 *
 * @param {{ packages: Record<string, any> }} wanted package-lock.json
 * @param {{ packages: Record<string, any> }} installed node_modules/.package-lock.json
 */
export function isCurrent(wanted, installed) {
  const names = Object.keys(wanted.packages).filter((name) => name !== '')
  const fits = names.every((name) => {
    const found = installed.packages[name]
    const { version, integrity, optional = false, devOptional = false } = wanted.packages[name]
    if (found === undefined) return optional || devOptional
    return found.version === version && found.integrity === integrity
  })
  return fits && Object.keys(installed.packages).every((name) => name in wanted.packages)
}

/** The Node that the tasks run with: the dev dependency `node`, or this one when it is new enough. */
export async function findNode(root) {
  const folder = path.join(root, 'node_modules', 'node')
  const binary = path.join(folder, 'bin', 'node')
  if (existsSync(binary)) return binary
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return process.execPath
  // npm was told to run no scripts, and this one fetches the program.
  const { output } = await runQuietly(process.execPath, ['installArchSpecificPackage'], folder)
  if (existsSync(binary)) return binary
  const message = `Node ${NODE_MAJOR} could not be installed for this platform; start the task with Node ${NODE_MAJOR} itself.\n`
  throw new ExpectedError(message + output.trim())
}

function npm(args, cwd, onStart) {
  // Below `npm run` the same npm, else the one on the PATH.
  const script = process.env.npm_execpath
  const [file, first] = script?.endsWith('npm-cli.js') ? [process.execPath, [script]] : ['npm', []]
  return runQuietly(file, [...first, ...args], cwd, onStart).catch((error) => {
    throw new ExpectedError(
      `npm cannot be started: ${error.message}. It comes with Node; put it on the PATH.`,
    )
  })
}
