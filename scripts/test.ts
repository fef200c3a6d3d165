/**
 * `npm test`: all tests, or those that vitest's own arguments choose; the last line on stdout counts them. Files with a test
 * that failed run once more: docs/decisions/0024-a-failed-test-is-tried-once-more.md.
 */
import path from 'node:path'

import { createVitest, parseCLI, type TestModule, type Vitest } from 'vitest/node'

import { summarise, worthAnotherTry, type Outcome } from './test-summary.ts'

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
process.env['NODE_ENV'] ??= 'test'
// Not `startVitest`, which stops the servers when the first run ends.
const vitest = await createVitest({ ...options, run: true, watch: false })
await vitest.start(filter).catch((error: unknown) => {
  // No test files; vitest has said so.
  if (!(error instanceof Error && 'code' in error && error.code === 'VITEST_FILES_NOT_FOUND')) throw error
  process.exitCode = 1
})
const first = vitest.state.getTestModules()
// A second run forgets the errors of the first.
const unhandled = vitest.state.getUnhandledErrors().length
const failedFiles = first.filter((module) => module.state() === 'failed')
const failedAtFirst = failedNames(first)
if (worthAnotherTry(failedFiles.length, first.length)) await runAgain(vitest, failedFiles)
await vitest.close()

const modules = vitest.state.getTestModules()
const failed = failedNames(modules)
// Unhandled errors, a set-up that failed, or no test files: vitest sets the exit code and no test has failed.
const errorsOutside =
  unhandled ||
  vitest.state.getUnhandledErrors().length ||
  (process.exitCode && failedAtFirst.length === 0 ? 1 : 0)
process.exitCode = failed.length > 0 || errorsOutside > 0 ? 1 : 0
// With a name pattern all others are "skipped", which nobody needs to read.
const listSkipped = options.testNamePattern === undefined
const outcomes = modules
  .flatMap(outcomesOf)
  .map((one) => ({ ...one, isFlaky: one.state === 'passed' && failedAtFirst.includes(one.name) }))
process.stdout.write(`${summarise(outcomes, errorsOutside, listSkipped).join('\n')}\n`)

async function runAgain(run: Vitest, files: readonly TestModule[]): Promise<void> {
  const names = files.map((module) => `  ${nameOf(module)}\n`)
  process.stdout.write(`\nrunning again what has failed:\n${names.join('')}`)
  await run.runTestSpecifications(files.map((module) => module.toTestSpecification()))
}

function failedNames(all: readonly TestModule[]): string[] {
  return all.flatMap(outcomesOf).flatMap(({ name, state }) => (state === 'failed' ? [name] : []))
}

function outcomesOf(module: TestModule): Outcome[] {
  const file = nameOf(module)
  const tests = [...module.children.allTests()].map((test): Outcome => {
    const result = test.result()
    const name = `${file} > ${test.fullName}`
    if (result.state === 'passed') return { name, state: 'passed' }
    if (result.state !== 'skipped') return { name, state: 'failed' }
    return { name, state: 'skipped', ...(result.note === undefined ? {} : { reason: result.note }) }
  })
  const hasFailedTest = tests.some((test) => test.state === 'failed')
  return module.state() === 'failed' && !hasFailedTest ? [...tests, { name: file, state: 'failed' }] : tests
}

function nameOf({ project, moduleId }: TestModule): string {
  return `${project.name}: ${path.relative(process.cwd(), moduleId)}`
}
