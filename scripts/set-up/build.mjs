import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'

import { ExpectedError, runQuietly } from './command.mjs'

/**
 * Builds dist when the sources are not those it was built from. Each file is put in its place by a rename, so programs
 * that read dist at the same time never find it half written or gone.
 *
 * @param {string} root
 * @param {string} node the program
 * @param {(line: string) => void} progress
 * @param {(pid: number) => void} onStart is told the process that compiles
 */
export async function build(root, node, progress, onStart) {
  const source = path.join(root, 'src')
  const target = path.join(root, 'dist')
  // npm ci removes it with the compiler that it speaks of.
  const record = path.join(root, 'node_modules', '.cache', 'redstream-build.json')
  const fingerprint = fingerprintOf(root, source)
  if (isFresh(record, fingerprint, target)) return
  progress('building dist')
  // Beside dist, because source maps name the sources relative to the folder they are written to.
  const fresh = path.join(root, '.dist-new')
  rmSync(fresh, { recursive: true, force: true })
  try {
    await compile(root, node, fresh, onStart)
    for (const file of filesIn(source).filter((name) => name.endsWith('.lua'))) {
      cpSync(path.join(source, file), path.join(fresh, file))
    }
    const files = filesIn(fresh)
    for (const file of files) {
      mkdirSync(path.dirname(path.join(target, file)), { recursive: true })
      renameSync(path.join(fresh, file), path.join(target, file))
    }
    const current = new Set(files)
    for (const file of filesIn(target)) if (!current.has(file)) rmSync(path.join(target, file))
    mkdirSync(path.dirname(record), { recursive: true })
    writeFileSync(record, JSON.stringify({ fingerprint, files }))
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

async function compile(root, node, folder, onStart) {
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [compiler, '-p', 'tsconfig.build.json', '--outDir', folder, '--noEmitOnError']
  const { exitCode, output } = await runQuietly(node, args, root, onStart)
  if (exitCode !== 0) throw new ExpectedError(`dist could not be built, TypeScript says:\n${output.trim()}`)
}

function isFresh(record, fingerprint, target) {
  if (!existsSync(record)) return false
  const built = JSON.parse(readFileSync(record, 'utf8'))
  return built.fingerprint === fingerprint && built.files.every((file) => existsSync(path.join(target, file)))
}

/** A hash of everything that decides what dist holds. */
function fingerprintOf(root, source) {
  const hash = createHash('sha256')
  const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) =>
    path.join(root, name),
  )
  const sources = filesIn(source).map((file) => path.join(source, file))
  for (const file of [...settings, ...sources]) {
    hash
      .update(`${path.relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0')
  }
  return hash.digest('hex')
}

/** The files below a folder as relative paths, in order. */
function filesIn(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true })
    .filter((name) => statSync(path.join(folder, name)).isFile())
    .sort()
}
