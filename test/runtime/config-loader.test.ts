import 'reflect-metadata'
import { afterEach, describe, expect, it } from 'vitest'
import { DataSource, getMetadataArgsStorage } from 'typeorm'

import { isRedstreamError } from '../../src/errors.ts'
import { indexedOptions } from '../../src/indexed.ts'
import { loadConfig, type LoadOptions } from '../../src/runtime/config-loader.ts'
import { createProject, type Project } from '../support/project.ts'

const env = { REDIS_URL: 'redis://localhost:6379', ELASTICSEARCH_URL: 'http://localhost:9200' }
const projects: Project[] = []

afterEach(() => {
  for (const project of projects.splice(0)) project.dispose()
})

function project(files: Record<string, string>): Project {
  const made = createProject(files)
  projects.push(made)
  return made
}

function load({ directory }: Project, options: LoadOptions = {}) {
  return loadConfig({ directory, env, ...options })
}

async function problemOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!isRedstreamError(error)) throw new Error(`no RedstreamError but ${String(error)}`)
  expect(error.code).toBe('CONFIG')
  return error.message
}

/** An application whose entities import each other, have inferred column types, and use the paths of tsconfig.json. */
function application(type: 'commonjs' | 'module'): Record<string, string> {
  // ES modules name the file, with the ending that it has before or after compiling.
  const [ts, js] = type === 'module' ? ['.ts', '.js'] : ['', '']
  return {
    'package.json': JSON.stringify({ type }),
    'tsconfig.json': '{ "compilerOptions": { "paths": { "@shared/*": ["./src/shared/*"] } } }',
    'src/shared/labels.ts': `export enum Size { Small = 'small' }\nexport const label: string = 'city'\n`,
    'src/entity/city.ts': `
      import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from 'typeorm'
      import { Indexed } from 'redstream'
      import { Country } from './country${js}'
      import { label, Size } from '@shared/labels'

      @Indexed<City>({ index: 'cities', relations: { country: true } })
      @Entity()
      export class City {
        @PrimaryGeneratedColumn() id!: number
        @Column() name!: string
        @Column() kind: string = label
        @Column() founded!: Date
        @Column() capital!: boolean
        @Column({ type: 'text' }) size!: Size
        @ManyToOne(() => Country, (country) => country.cities) country!: Country
        describe(): string { return this.name + Size.Small }
      }`,
    'src/entity/country.ts': `
      import { Column, Entity, OneToMany, PrimaryColumn } from 'typeorm'
      import { City } from './city${js}'

      @Entity()
      export class Country {
        @PrimaryColumn() code!: string
        @Column({ nullable: true }) area?: number
        @OneToMany(() => City, (city) => city.country) cities!: City[]
      }`,
    'config/redstream.ts': `
      import { defineConfig } from 'redstream'
      import { DataSource, type DataSourceOptions } from 'typeorm'
      import { City } from '../src/entity/city${ts}'
      import { Country } from '../src/entity/country${ts}'

      const options = { type: 'postgres', entities: [City, Country] } satisfies DataSourceOptions
      export default defineConfig({ dataSource: () => new DataSource(options), delay: '10s' })`,
  }
}

describe.each(['commonjs', 'module'] as const)('a TypeScript application of type %s', (type) => {
  it('loads with entities that import each other and inferred column types', async () => {
    const { dataSource, settings } = await load(project(application(type)))
    expect(dataSource).toBeInstanceOf(DataSource)
    expect(settings.delayMs).toBe(10_000)

    const [City, Country] = dataSource.options.entities as (new () => object)[]
    expect(indexedOptions(City)).toEqual([{ index: 'cities', relations: { country: true } }])

    const storage = getMetadataArgsStorage()
    expect(storage.tables.map(({ target }) => target)).toEqual(expect.arrayContaining([City, Country]))
    const types = storage.filterColumns([City!, Country!]).map((column) => {
      const { type } = column.options
      return [column.propertyName, typeof type === 'function' ? type.name : type]
    })
    expect(Object.fromEntries(types)).toEqual({
      id: 'Number',
      name: 'String',
      kind: 'String',
      founded: 'Date',
      capital: 'Boolean',
      size: 'text',
      code: 'String',
      area: 'Number',
    })
    const related = storage.filterRelations([City!, Country!]).map(({ type }) => (type as () => unknown)())
    expect(new Set(related)).toEqual(new Set([City, Country]))
    // As TypeORM makes them: fields without a value are not there.
    expect(Object.keys(new City!())).toEqual(['kind'])
  })

  it('loads the files that a DataSource names by patterns, once', async () => {
    const files = application(type)
    files['src/entity/notes.d.ts'] = 'export declare class Never {}'
    files['config/redstream.ts'] = `
      import { defineConfig } from 'redstream'
      import { DataSource } from 'typeorm'
      import { join } from 'node:path'
      import { City } from '../src/entity/city${type === 'module' ? '.ts' : ''}'

      const here = ${type === 'module' ? 'import.meta.dirname' : '__dirname'}
      const patterns = [join(here, '../src/entity/*.{ts,js}')]
      const dataSource = new DataSource({ type: 'postgres', entities: [City, ...patterns] })
      export default defineConfig({ dataSource })`
    const { dataSource } = await load(project(files))
    const entities = dataSource.options.entities as { name: string }[]
    expect(entities.map(({ name }) => name).sort()).toEqual(['City', 'Country'])
  })
})

describe('the default export', () => {
  const source = `new DataSource({ type: 'postgres', entities: [] })`
  it.each([
    [
      'an ES module in JavaScript',
      'config/redstream.mjs',
      `import { DataSource } from 'typeorm'\nexport default { dataSource: ${source} }`,
    ],
    [
      'CommonJS',
      'config/redstream.js',
      `const { DataSource } = require('typeorm')\nmodule.exports = { dataSource: ${source} }`,
    ],
    [
      'compiled TypeScript',
      'config/redstream.js',
      `Object.defineProperty(exports, '__esModule', { value: true })\nconst typeorm_1 = require('typeorm')\n` +
        `exports.default = { dataSource: new typeorm_1.DataSource({ type: 'postgres', entities: [] }) }`,
    ],
    [
      'import and export without a package type',
      'config/redstream.js',
      `import { defineConfig } from 'redstream'\nimport { DataSource } from 'typeorm'\n` +
        `export default defineConfig({ dataSource: Promise.resolve(${source}) })`,
    ],
  ])('is found in %s', async (_, name, content) => {
    const { dataSource, origins } = await load(project({ [name]: content }))
    expect(dataSource).toBeInstanceOf(DataSource)
    expect(origins.delayMs).toBe('default')
  })

  it('may await in an ES module', async () => {
    const made = project({
      'package.json': '{ "type": "module" }',
      'config/redstream.ts': `import { DataSource } from 'typeorm'
        const dataSource: DataSource = await Promise.resolve(${source})
        export default { dataSource, delay: '1m' }`,
    })
    expect((await load(made)).settings.delayMs).toBe(60_000)
  })
})

describe('the connections', () => {
  const files = (connections: string) => ({
    'config/redstream.mjs': `import { DataSource } from 'typeorm'
      export default { dataSource: new DataSource({ type: 'postgres', entities: [] }), ${connections} }`,
  })

  it('come from the file, else from the environment', async () => {
    const made = project(files(`redis: { host: 'redis.internal' }`))
    expect(await load(made)).toMatchObject({
      redis: { host: 'redis.internal' },
      elasticsearch: 'http://localhost:9200',
    })
  })

  it('must be given, as URLs; a wrong one is not shown', async () => {
    const missing = await problemOf(load(project(files('')), { env: {} }))
    expect(missing).toContain('redis is not in config/redstream.mjs, and REDIS_URL is not set')
    const wrong = await problemOf(load(project(files(`redis: 'redis//u:s3cret@h'`))))
    expect(wrong).toContain('redis in config/redstream.mjs is no URL such as redis://localhost:6379')
    expect(wrong).not.toContain('s3cret')
    const wrongVariable = await problemOf(
      load(project(files('')), { env: { ...env, ELASTICSEARCH_URL: 'es:9200' } }),
    )
    expect(wrongVariable).toContain('ELASTICSEARCH_URL is no URL such as http://localhost:9200')
  })
})

describe('a configuration that cannot be used', () => {
  const config = (content: string, more: Record<string, string> = {}) =>
    problemOf(load(project({ 'config/redstream.ts': content, ...more })))

  it('is missing: says where it looked and shows how it begins', async () => {
    const made = project({})
    const message = await problemOf(load(made))
    expect(message).toContain(
      `config/redstream.ts, config/redstream.js, config/redstream.mjs in ${made.directory}`,
    )
    expect(message).toContain('export default defineConfig({ dataSource')
    expect(await problemOf(load(made, { file: 'other.ts' }))).toContain(`no file ${made.file('other.ts')}`)
  })

  it.each([
    [
      'does not parse',
      `import { x } from 'y'\n\nexport default {\n  dataSource: ,\n}`,
      /config\/redstream\.ts:4:15: Unexpected token$/,
    ],
    [
      'throws',
      `type A = 1\ninterface B { b: string }\n\n\nfunction f(): never {\n  throw new Error('no such thing')\n}\nf()`,
      /^config\/redstream\.ts cannot be loaded: no such thing \(.*config\/redstream\.ts:6\)$/,
    ],
    [
      'imports what is not there',
      `import { x } from './missing'\nexport default x`,
      /^config\/redstream\.ts cannot be loaded: Cannot find module '\.\/missing'.*config\/redstream\.ts/,
    ],
    [
      'exports nothing',
      `export const config = 1`,
      /^config\/redstream\.ts has no default export; it must be: export/,
    ],
    [
      'exports something else',
      `export default 5`,
      /^config\/redstream\.ts exports a number by default; it must be/,
    ],
    [
      'has no DataSource',
      `export default {}`,
      /^dataSource in config\/redstream\.ts is missing; give a DataSource/,
    ],
    [
      'has another kind of DataSource',
      `export default { dataSource: () => ({ type: 'postgres' }) }`,
      /^dataSource in config\/redstream\.ts is no TypeORM DataSource but an object/,
    ],
    [
      'has services of a wrong kind',
      `export default { dataSource: () => ({}), services: 'prices' }`,
      /^services in config\/redstream\.ts is a string; give an object, or a function that returns one/,
    ],
    [
      'has an unknown key',
      `export default { datasource: 1 }`,
      /^unknown key "datasource" in config\/redstream\.ts: did you mean "dataSource"\?$/,
    ],
    [
      'rejects with a secret',
      `export default { dataSource: Promise.reject(new Error('cannot reach postgres://app:s3cret@db/app')) }`,
      /^config\/redstream\.ts cannot be loaded: cannot reach postgres:\/\/\*\*\*@db\/app \(/,
    ],
  ])('%s', async (_, content, message) => {
    expect(await config(content)).toMatch(message)
  })

  it('imports an entity that does not parse: names the file and the line of the entity', async () => {
    const message = await config(`import { City } from '../src/city'\nexport default City`, {
      'src/city.ts': `import { Entity } from 'typeorm'\n\n@Entity()\nexport class City {\n  id: = 1\n}\n`,
    })
    expect(message).toMatch(/src\/city\.ts:5:7: Unexpected token$/)
  })

  it('imports an entity that throws: names the line of the entity', async () => {
    const message = await config(`import { City } from '../src/city'\nexport default City`, {
      'src/city.ts': `import { Column, Entity } from 'typeorm'

interface Shape { size: number }

@Entity()
export class City {
  @Column() shape!: Shape
  @Column() name!: string
}
export const size: number = (undefined as unknown as Shape).size
`,
    })
    expect(message).toMatch(/Cannot read properties of undefined \(reading 'size'\) \(.*src\/city\.ts:10\)$/)
  })
})
