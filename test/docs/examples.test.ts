import path from 'node:path'

import { execa } from 'execa'
import { DataSource } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { loadConfig } from '../../src/runtime/config-loader.ts'
import { createLoader } from '../../src/runtime/typescript-loader.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'
import { createProject, type Project } from '../support/project.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { codeBlocks, pages, readPage, root, type CodeBlock } from './markdown.ts'

const examples = pages.flatMap(codeBlocks).filter(({ language }) => language === 'ts')

/** The file that an example says it is in its first line. */
function namedFile({ code }: CodeBlock): string | undefined {
  return /^\/\/ ((?:src|config)\/\S+\.ts)\n/.exec(code)?.[1]
}

const named = (page: string): Record<string, string> =>
  Object.fromEntries(
    examples
      .filter((example) => example.page === page)
      .flatMap((example) => {
        const file = namedFile(example)
        return file === undefined ? [] : [[file, example.code]]
      }),
  )

let project: Project | undefined
let space: TestSpace | undefined

afterEach(async () => {
  project?.dispose()
  await space?.dispose()
  project = space = undefined
})

// What the examples that show a few lines take for granted: the entities and the data source of the README.
const context = `
import type { Redstream } from 'redstream'
import type { City as CityEntity } from './src/entities/city'
import type { Country as CountryEntity } from './src/entities/country'
import type { DataSource } from 'typeorm'
declare global {
  const redstream: Redstream
  const dataSource: DataSource
  const City: typeof CityEntity
  type City = CityEntity
  const Country: typeof CountryEntity
  type Country = CountryEntity
}
`

const compilerOptions = {
  target: 'ES2023',
  lib: ['ES2024'],
  module: 'preserve',
  moduleResolution: 'bundler',
  types: ['node'],
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  noEmit: true,
  paths: { redstream: [path.join(root, 'src/index.ts')] },
}

test('every TypeScript example compiles', async () => {
  const files = Object.fromEntries(
    examples.map((example): [string, string] => {
      const { page, line, code } = example
      const file = page === 'README.md' ? namedFile(example) : undefined
      const name = file ?? `${page.replaceAll('/', '-')}/example.ts-${line}.ts`
      // Empty lines before it, so that errors name the line of the page.
      return [name, `${'\n'.repeat(line - 1)}${code}\nexport {}\n`]
    }),
  )
  expect(Object.keys(files).length).toBeGreaterThan(10)
  project = createProject({
    ...files,
    'context.ts': context,
    'tsconfig.json': JSON.stringify({ compilerOptions, include: ['**/*.ts'] }),
  })
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc')
  const { stdout, exitCode } = await execa({
    cwd: project.directory,
    reject: false,
  })`${process.execPath} ${compiler} -p .`
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 0 })
})

test('the example of the README works: entities, application, configuration, workers', async () => {
  space = await testSpace()
  const index = `${space.indexPrefix}cities`
  const files = Object.entries(named('README.md')).map(([file, code]): [string, string] => [
    file,
    code.replaceAll("index: 'cities'", `index: '${index}'`),
  ])
  project = createProject(Object.fromEntries(files))
  const databaseUrl = new URL(space.databaseUrl)
  databaseUrl.searchParams.set('options', `-c search_path=${space.schema}`)
  process.env['DATABASE_URL'] = databaseUrl.href
  process.env['REDSTREAM_NAMESPACE'] = space.namespace
  const log: LogLine[] = []

  const config = await loadConfig({ directory: project.directory })
  const tables = await new DataSource({ ...config.dataSource.options, synchronize: true }).initialize()
  await tables.destroy()
  const main = project.file('src/main.ts')
  const loader = createLoader(main, { redstream: await import('../../src/index.ts') })
  const application = await loader.import<{ main(): Promise<void> }>(main)
  await application.main()

  const pipeline = await openPipeline(config, recordingLogger(log))
  const stopping = new AbortController()
  try {
    await pipeline.init()
    const runs = pipeline
      .workers(['consumer', 'delayer', 'trimmer'])
      .map((worker) => worker.run(stopping.signal))
    const client = space.elasticsearch()
    const document = (): Promise<unknown> =>
      client.get({ index, id: '1' }, { ignore: [404] }).then(({ _source }) => _source)
    const shown = /A city is\s`(\{.*?\})`\./s.exec(readPage('README.md'))?.[1] ?? ''
    await expect.poll(document, { timeout: 10_000 }).toEqual(JSON.parse(shown))
    stopping.abort()
    await Promise.all(runs)
  } finally {
    stopping.abort()
    await pipeline.close()
  }
  expect(log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
