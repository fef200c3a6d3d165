import { existsSync, readFileSync } from 'node:fs'
import { createRequire, SourceMap, type SourceMapPayload } from 'node:module'
import path from 'node:path'

import { createJiti, type Jiti, type TransformOptions as JitiTransform } from 'jiti'
import { transformSync, type TransformOptions } from 'oxc-transform'
import { __decorate, __metadata, __param } from 'tslib'

import { RedstreamError } from '../errors.ts'
import { TransformCache } from './transform-cache.ts'

/**
 * Makes a loader for the user's configuration and everything that it imports, TypeScript or not, without a build step.
 *
 * jiti loads and links the modules. Its own TypeScript transform cannot compile entities (legacy decorators on fields
 * without initializer: https://github.com/unjs/jiti/issues/367), so oxc takes the types and decorators out first, with
 * the decorator metadata that TypeORM infers column types from. Each package keeps the module system that its
 * package.json names, as in the built application: CommonJS imports become `require`, so entities that import each
 * other work. Line numbers stay those of the source.
 *
 * @param file - whose imports, and tsconfig.json with its `paths`, count
 * @param modules - modules that are given instead of loaded, by name
 */
export function createLoader(file: string, modules: Record<string, unknown>): Jiti {
  const cache = new TransformCache(file)
  return createJiti(file, {
    // jiti's cache is shared with other programs that load the same file by jiti, without our transform.
    fsCache: false,
    // jiti would wrap every module in a proxy that remembers the first value of each export, and so
    // the `undefined` of an import cycle (https://github.com/unjs/jiti/issues/457).
    interopDefault: false,
    tsconfigPaths: true,
    virtualModules: { ...decoratorHelpers, ...modules },
    transform: (given) => ({ code: transformed(given, cache) }),
  })
}

// What oxc's output imports; the same functions that tsc emits.
const decoratorHelpers = Object.fromEntries(
  Object.entries({ decorate: __decorate, decorateMetadata: __metadata, decorateParam: __param }).map(
    ([name, helper]) => [`@oxc-project/runtime/helpers/${name}`, { __esModule: true, default: helper }],
  ),
)

const linker = createJiti(import.meta.url, { fsCache: false })

/** To be raised with every change of what {@link transform} makes. */
const revision = 1

const makers = ['jiti', 'oxc-transform'].map((name) => {
  const { version } = createRequire(import.meta.url)(`${name}/package.json`) as { version: string }
  return `${name} ${version}`
})

function transformed(given: JitiTransform, cache: TransformCache): string {
  const filename = given.filename ?? 'source.js'
  // An ES module that a CommonJS one requires has to be linked synchronously too.
  const asEsModule = given.async === true && isEsModule(filename)
  // Whether a CommonJS module is imported or required makes no difference, so it must not replace what is kept either.
  const input = JSON.stringify([revision, makers, { ...given, async: asEsModule }])
  const make = (): string => transform(given, filename, asEsModule)
  return cache.get(`${filename} ${asEsModule}`, input, make, isWhole)
}

/** Not what jiti makes of a failure: that may have been the machine's, as when the stack was too small. */
function isWhole(code: string): boolean {
  return !code.startsWith('exports.__JITI_ERROR__')
}

function transform(given: JitiTransform, filename: string, asEsModule: boolean): string {
  const { code, map } = stripTypes(filename, given.source, given.ts === true)
  return linker.transform({
    ...given,
    source: code,
    ts: false,
    async: asEsModule,
    interopDefault: !asEsModule,
    ...(map === undefined ? {} : { babel: { plugins: [keepLines(new SourceMap(map as SourceMapPayload))] } }),
  })
}

function stripTypes(filename: string, source: string, typescript: boolean) {
  const options: TransformOptions = {
    lang: typescript ? 'ts' : 'js',
    target: 'esnext',
    sourcemap: true,
    decorator: { legacy: true, emitDecoratorMetadata: true, strictNullChecks: false },
    // A field without a value is a type, as for tsc with useDefineForClassFields off: `new City()` holds no `undefined`.
    typescript: { removeClassFieldsWithoutInitializer: true },
  }
  const { code, map, errors } = transformSync(filename, source, options)
  const problem = errors.find(({ severity }) => (severity as string) === 'Error')
  if (problem !== undefined) {
    const place = positionOf(source, problem.labels[0]?.start ?? 0)
    throw new RedstreamError(
      'CONFIG',
      `${path.relative(process.cwd(), filename)}:${place.line}:${place.column}: ${problem.message}`,
    )
  }
  return { code, map }
}

/** Line and column, from 1, of an offset that counts UTF-8 bytes. */
function positionOf(source: string, offset: number): { line: number; column: number } {
  const before = Buffer.from(source).subarray(0, offset).toString().split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

/** A Babel plugin that gives every node the line it had before oxc printed the code anew; jiti's linker keeps those. */
function keepLines(map: SourceMap) {
  const lineOf = (position: Position): number | undefined => {
    const entry = map.findEntry(position.line - 1, position.column)
    return 'originalLine' in entry ? entry.originalLine + 1 : undefined
  }
  const enter = ({ node }: { node: Node }): void => {
    if (!node.loc) return
    const [start, end] = [lineOf(node.loc.start), lineOf(node.loc.end)]
    node.loc =
      start === undefined || end === undefined
        ? undefined
        : { ...node.loc, start: { ...node.loc.start, line: start }, end: { ...node.loc.end, line: end } }
  }
  return {
    visitor: {
      Program: (program: { traverse(visitor: { enter: typeof enter }): void }) => program.traverse({ enter }),
    },
  }
}

// The part of Babel's nodes that is used here; the package with its types is inside jiti.
interface Position {
  line: number
  column: number
}

interface Node {
  loc?: { start: Position; end: Position } | undefined
}

/** Whether Node would run a file as an ES module: by its ending, else by the nearest package.json. */
function isEsModule(filename: string): boolean {
  const ending = /\.([cm])[jt]s$/.exec(filename)?.[1]
  if (ending !== undefined) return ending === 'm'
  for (let folder = path.dirname(filename); ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json')
    if (existsSync(file))
      return (JSON.parse(readFileSync(file, 'utf8')) as { type?: unknown }).type === 'module'
    if (folder === path.dirname(folder)) return false
  }
}
