import { expect, it } from 'vitest'

import { createProgram } from '../../src/cli/program.ts'

async function help(...args: string[]): Promise<string> {
  let text = ''
  const program = createProgram(() => undefined)
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ writeOut: (part) => void (text += part), getOutHelpWidth: () => 100 })
  }
  await program.parseAsync(['node', 'redstream', ...args, '--help']).catch(() => undefined)
  return text
}

it.each([
  '',
  'run',
  'consumer',
  'delayer',
  'trimmer',
  'relay',
  'init',
  'uninstall',
  'status',
  'health',
  'verify',
  'why',
])('redstream %s --help', async (name) => {
  expect(await help(...name.split(' ').filter(Boolean))).toMatchSnapshot()
})
