/**
 * `npm test`: all tests, or those that vitest's own arguments choose; the last line on stdout counts them. One that fails is
 * tried once more: docs/decisions/0024-a-failed-test-is-tried-once-more.md.
 */
import path from 'node:path'

import { parseCLI, startVitest, type TestModule } from 'vitest/node'

import { summarise, type Outcome } from './test-summary.ts'

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
const vitest = await startVitest(filter, { retry: 1, ...options, run: true, watch: false })
await vitest.close()
const outcomes = vitest.state.getTestModules().flatMap(outcomesOf)
const failed = outcomes.some((outcome) => outcome.state === 'failed')
// Unhandled errors, a set-up that failed, or no test files: vitest sets the exit code and no test has failed.
const errorsOutside = vitest.state.getUnhandledErrors().length || (process.exitCode && !failed ? 1 : 0)
// With a name pattern all others are "skipped", which nobody needs to read.
const listSkipped = options.testNamePattern === undefined
process.stdout.write(`${summarise(outcomes, errorsOutside, listSkipped).join('\n')}\n`)

function outcomesOf(module: TestModule): Outcome[] {
  const file = `${module.project.name}: ${path.relative(process.cwd(), module.moduleId)}`
  const tests = [...module.children.allTests()].map((test): Outcome => {
    const result = test.result()
    const name = `${file} > ${test.fullName}`
    const isFlaky = test.diagnostic()?.flaky ?? false
    if (result.state === 'passed') return { name, state: 'passed', isFlaky }
    if (result.state !== 'skipped') return { name, state: 'failed' }
    return { name, state: 'skipped', ...(result.note === undefined ? {} : { reason: result.note }) }
  })
  const hasFailedTest = tests.some((test) => test.state === 'failed')
  return module.state() === 'failed' && !hasFailedTest ? [...tests, { name: file, state: 'failed' }] : tests
}
