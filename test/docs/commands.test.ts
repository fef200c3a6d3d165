import { readFileSync } from 'node:fs'

import type { Command } from 'commander'
import { globSync } from 'tinyglobby'
import { describe, expect, test } from 'vitest'

import { createProgram } from '../../src/cli/program.ts'
import { options, type Option } from '../../src/runtime/options.ts'
import { codeBlocks, codeSpans, pages, root, section, tableRows } from './markdown.ts'

const program = createProgram(() => undefined)

/** Lines and spans of code that somebody may type. */
function typed(page: string): string[] {
  const lines = codeBlocks(page)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ code }) => code.split('\n'))
  return [...lines, ...codeSpans(page)]
    .map((line) => line.replace(/\s+#.*$/, '').replace(/^npx /, ''))
    .filter((line) => line !== '')
}

/** The command that the words name, and the words after it. */
function resolve(words: readonly string[], command = program): { command: Command; rest: readonly string[] } {
  const [word, ...rest] = words
  const next = command.commands.find((each) => each.name() === word)
  return next === undefined ? { command, rest: words } : resolve(rest, next)
}

function flagsOf(command: Command): string[] {
  const flags = command.options.flatMap(({ long }) => long ?? [])
  return [...flags, '--help', ...(command.parent === null ? [] : flagsOf(command.parent))]
}

const allFlags = new Set(
  (function all(command: Command): string[] {
    return [...flagsOf(command), ...command.commands.flatMap(all)]
  })(program),
)

function problemsOf(line: string): string[] {
  const words = line.split(/\s+/)
  if (words[0] === 'redstream' && words.length > 1) {
    const { command, rest } = resolve(words.slice(1))
    const isUnknown = command.commands.length > 0 && rest[0]?.startsWith('-') === false
    if (isUnknown) return [`${line}: there is no command ${rest[0]}`]
    const known = flagsOf(command)
    return rest
      .filter((word) => word.startsWith('--') && !known.includes(word))
      .map((flag) => `${line}: it has no ${flag}`)
  }
  return /^--[a-z-]+/.test(line) && !allFlags.has(words[0]!) ? [`${line}: no command has it`] : []
}

describe('commands and flags that the pages name', () => {
  test.each(pages)('%s', (page) => {
    expect(typed(page).flatMap(problemsOf)).toEqual([])
  })
})

test('every command is in the table of the README', () => {
  const table = section('README.md', 'Use it')
  const names = program.commands.map((command) => command.name())
  expect(names.filter((name) => !table.includes(`\`redstream ${name}`))).toEqual([])
})

test('every npm script that the pages name exists', () => {
  const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
    scripts: Record<string, string>
  }
  const named = pages
    .flatMap(typed)
    .flatMap((line) => /^npm (?:run ([\w:-]+)|(test))/.exec(line)?.slice(1) ?? [])
    .filter((name) => name !== undefined)
  expect(named.length).toBeGreaterThan(5)
  expect(named.filter((name) => !(name in scripts))).toEqual([])
})

test('every environment variable and setting that the pages name exists', () => {
  const table: Option[] = Object.values(options)
  const known = new Set([...table.map(({ env }) => env), 'REDSTREAM_LOG_LEVEL', 'REDSTREAM_CACHE'])
  const named = pages.flatMap(codeSpans).flatMap((span) => span.match(/\bREDSTREAM_[A-Z_]+/g) ?? [])
  expect(named.filter((name) => !known.has(name))).toEqual([])
})

test('every log message in docs/operations.md is in the source', () => {
  const source = globSync('src/**/*.ts', { cwd: root, absolute: true })
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n')
    // Sentences that are longer than a line.
    .replaceAll(/['`] \+\s+['`]/g, '')
  const rows = tableRows(section('docs/operations.md', 'Log messages'))
  const messages = rows.flatMap(([cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!))
  expect(messages.length).toBeGreaterThan(15)
  expect(messages.filter((message) => !source.includes(message))).toEqual([])
})
