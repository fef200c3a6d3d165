import { createHash, randomUUID } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from 'node:fs'
import path from 'node:path'

/**
 * What was made of source files, kept on disk: a start without the compiler takes less time, and a worker that never loads
 * it some 25 MiB less memory (`bench/PROFILE.md`).
 *
 * One file for each source, in `node_modules/.cache/redstream` of the application: whoever can write to `node_modules` can
 * change the program anyway, which is not so for the system's temporary folder. `.cache` may be open to more users, so a file
 * that one of them may have written is not used. Where there is no `node_modules`, or it cannot be written, nothing is kept.
 */
export class TransformCache {
  readonly #modules: Modules | undefined

  /** @param file - of the application: the nearest `node_modules` above it is taken */
  constructor(file: string) {
    this.#modules = modulesAbove(path.dirname(file))
  }

  /**
   * @param name - whose code it is: what was kept for it before is replaced
   * @param input - all that the code depends on
   * @param make - makes the code when it is not there
   * @param keep - whether what was made is worth keeping
   */
  get(name: string, input: string, make: () => string, keep: (code: string) => boolean = () => true): string {
    if (this.#modules === undefined) return make()
    const file = path.join(this.#modules.directory, '.cache', 'redstream', `${digest(name)}.js`)
    const wanted = digest(input)
    const known = read(file, wanted, this.#modules.stats)
    if (known !== undefined) return known
    const code = make()
    if (keep(code)) this.#write(file, `${headOf(wanted, code)}\n${code}`)
    return code
  }

  /** As a whole or not at all: another process may read it at this moment. Failure only costs the next start its time. */
  #write(file: string, text: string): void {
    const unfinished = `${file}.${randomUUID()}`
    try {
      mkdirSync(path.dirname(file), { recursive: true })
      // The source may hold secrets, and be for its owner's eyes only.
      writeFileSync(unfinished, text, { mode: 0o600 })
      renameSync(unfinished, file)
    } catch {
      remove(unfinished)
    }
  }
}

function remove(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {
    // Then it could not be written either.
  }
}

interface Modules {
  readonly directory: string
  readonly stats: Stats
}

function modulesAbove(directory: string): Modules | undefined {
  const modules = path.join(directory, 'node_modules')
  const stats = statsOf(modules)
  if (stats !== undefined) return { directory: modules, stats }
  const parent = path.dirname(directory)
  return parent === directory ? undefined : modulesAbove(parent)
}

function statsOf(file: string): Stats | undefined {
  try {
    return statSync(file)
  } catch {
    return undefined
  }
}

/** The code, unless it is of another input, or is not as it was written: a machine may have lost its power. */
function read(file: string, wanted: string, modules: Stats): string | undefined {
  const text = readTrusted(file, modules)
  if (text === undefined) return undefined
  const end = text.indexOf('\n')
  const code = text.slice(end + 1)
  return text.slice(0, end) === headOf(wanted, code) ? code : undefined
}

/** What is in a file that nobody can have written but this user, and those who may write to `node_modules` themselves. */
function readTrusted(file: string, modules: Stats): string | undefined {
  let opened: number | undefined
  try {
    opened = openSync(file, 'r')
    const { uid, mode } = fstatSync(opened)
    const ours = uid === process.geteuid?.() || uid === modules.uid
    return ours && (mode & 0o022 & ~modules.mode) === 0 ? readFileSync(opened, 'utf8') : undefined
  } catch {
    return undefined
  } finally {
    if (opened !== undefined) closeSync(opened)
  }
}

function headOf(input: string, code: string): string {
  return `// ${input} ${digest(code)}`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
