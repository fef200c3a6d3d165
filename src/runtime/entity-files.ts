import { globSync } from 'tinyglobby'
import { InstanceChecker, type DataSource } from 'typeorm'

/** Options of a DataSource that may name files. */
const lists = ['entities', 'subscribers', 'migrations'] as const

/**
 * Loads the classes that a DataSource names by file patterns (`entities: ['src/entity/*.ts']`), so that they come
 * through the same loader as everything else. TypeORM would import the files itself when it connects, and Node cannot
 * run TypeScript with decorators.
 *
 * @param load - imports one file, by its absolute path
 */
export async function loadNamedFiles(
  dataSource: DataSource,
  load: (file: string) => Promise<unknown>,
): Promise<void> {
  if (dataSource.isInitialized) return
  for (const list of lists) {
    const given: unknown[] = Object.values(dataSource.options[list] ?? [])
    const patterns = given.filter((entry) => typeof entry === 'string')
    const files = patterns.flatMap(filesOf)
    if (files.length === 0) continue
    const classes: unknown[] = given.filter((entry) => typeof entry !== 'string')
    for (const file of files) classes.push(...classesIn(await load(file)))
    dataSource.setOptions({ [list]: [...new Set(classes)] })
  }
}

function filesOf(pattern: string): string[] {
  return globSync(pattern.replaceAll('\\', '/'), { absolute: true })
    .filter((file) => /\.[cm]?[jt]s$/.test(file) && !/\.d\.[cm]?ts$/.test(file))
    .sort()
}

/** The classes and entity schemas among what a module exports, also inside arrays and objects, as TypeORM finds them. */
function classesIn(exported: unknown, seen = new Set<unknown>()): unknown[] {
  if (typeof exported === 'function' || InstanceChecker.isEntitySchema(exported)) return [exported]
  if (!isContainer(exported) || seen.has(exported)) return []
  seen.add(exported)
  return Object.values(exported).flatMap((value) => classesIn(value, seen))
}

/** An array, a plain object or the exports of a module. */
function isContainer(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) || prototype === null || prototype === Object.prototype
}
