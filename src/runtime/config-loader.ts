import { existsSync, statSync } from 'node:fs'
import path from 'node:path'

import { InstanceChecker, type DataSource } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import { resolveConnections } from './connections.ts'
import { describeLoadError } from './load-error.ts'
import { loadNamedFiles } from './entity-files.ts'
import { resolveSettings, type Origin, type Settings, type SettingSources } from './settings.ts'
import type { RedstreamConfig } from './config.ts'
import type { ResolvedConfig } from '../sync/pipeline.ts'
import { createLoader } from './typescript-loader.ts'

/** Where the configuration is looked for, from the working directory. */
export const defaultConfigFiles = [
  'config/redstream.ts',
  'config/redstream.js',
  'config/redstream.mjs',
] as const

const example = `
  import { defineConfig } from 'redstream'
  import { dataSource } from '../src/data-source'

  export default defineConfig({ dataSource, redis: 'redis://localhost:6379', elasticsearch: 'http://localhost:9200' })`

const otherKeys = ['dataSource', 'redis', 'elasticsearch', 'services']

/** What {@link loadConfig} needs to know. */
export interface LoadOptions {
  /** `--config`; default: the first of {@link defaultConfigFiles} that exists. */
  readonly file?: string | undefined
  readonly flags?: SettingSources['flags']
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The working directory. */
  readonly directory?: string
}

/** The configuration, and where each setting came from. */
export interface LoadedConfig extends ResolvedConfig {
  readonly origins: Readonly<Record<keyof Settings, Origin>>
}

/**
 * Loads the configuration file with everything that it imports, and puts flags, file and environment together.
 * The DataSource is not connected.
 *
 * @throws RedstreamError CONFIG when there is no file, it cannot be run, or it holds something wrong; USAGE for a
 * wrong flag
 */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const { flags = {}, env = process.env, directory = process.cwd() } = options
  const file = findConfigFile(directory, options.file)
  const name = path.relative(directory, file) || file
  // The file gets the very modules that the command line runs, whichever copy stands beside the application.
  const loader = createLoader(file, { redstream: await import('../index.ts') })
  const config = await importing(name, async () => configOf(await loader.import(file), name))
  const { dataSource: given, redis, elasticsearch, services, ...input } = config
  // A promise that fails while something else is found to be wrong must not end the process.
  if (given instanceof Promise) given.catch(() => undefined)
  const { settings, origins } = resolveSettings({ flags, file: { name, settings: input, otherKeys }, env })
  checkServices(services, name)
  const connections = resolveConnections({ redis, elasticsearch }, env, name)
  const dataSource = await importing(name, async () => dataSourceOf(given, name))
  await importing(name, () => loadNamedFiles(dataSource, (entity) => loader.import(entity)))
  return { dataSource, settings, origins, services, ...connections }
}

/**
 * The path of the configuration file.
 *
 * @throws RedstreamError CONFIG that says where it looked
 */
export function findConfigFile(directory: string, given?: string): string {
  const candidates = given === undefined ? defaultConfigFiles : [given]
  const paths = candidates.map((candidate) => path.resolve(directory, candidate))
  const found = paths.find((candidate) => existsSync(candidate) && statSync(candidate).isFile())
  if (found !== undefined) return found
  const looked =
    given === undefined ? `looked for ${candidates.join(', ')} in ${directory}` : `no file ${paths[0]}`
  throw new RedstreamError(
    'CONFIG',
    `there is no configuration: ${looked}. Name it with --config FILE, or create config/redstream.ts:\n${example}`,
  )
}

async function importing<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    throw describeLoadError(error, name)
  }
}

function configOf(module: unknown, name: string): RedstreamConfig {
  const config = defaultExport(module)
  if (typeof config === 'object' && config !== null && !Array.isArray(config))
    return config as RedstreamConfig
  const found = config === undefined ? 'has no default export' : `exports ${kindOf(config)} by default`
  throw new RedstreamError(
    'CONFIG',
    `${name} ${found}; it must be: export default defineConfig({ dataSource, … })`,
  )
}

/** The default export, also of a CommonJS module: `module.exports = …`, or `exports.default` of compiled TypeScript. */
function defaultExport(module: unknown): unknown {
  const { default: outer } = module as { default?: unknown }
  return hasDefault(outer) && outer.__esModule === true ? outer.default : outer
}

function hasDefault(value: unknown): value is { default: unknown; __esModule?: unknown } {
  return typeof value === 'object' && value !== null && 'default' in value
}

async function dataSourceOf(given: unknown, name: string): Promise<DataSource> {
  const dataSource: unknown = await (typeof given === 'function' ? (given as () => unknown)() : given)
  if (InstanceChecker.isDataSource(dataSource)) return dataSource
  const found = dataSource === undefined ? 'is missing' : `is no TypeORM DataSource but ${kindOf(dataSource)}`
  throw new RedstreamError(
    'CONFIG',
    `dataSource in ${name} ${found}; give a DataSource, or a function that returns one`,
  )
}

function checkServices(services: unknown, name: string): void {
  if (services === undefined || typeof services === 'function') return
  if (typeof services === 'object' && services !== null && !Array.isArray(services)) return
  throw new RedstreamError(
    'CONFIG',
    `services in ${name} is ${kindOf(services)}; give an object, or a function that returns one`,
  )
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value !== 'object') return typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`
  const { name } = (value.constructor ?? Object) as { name?: string }
  return name === undefined || name === 'Object' ? 'an object' : `a ${name}`
}
