import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export const root = path.join(import.meta.dirname, '../..')

/** The pages that people read, by their path from the root. */
export const pages: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  ...readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.posix.join('docs', name)),
]

export function readPage(page: string): string {
  return readFileSync(path.join(root, page), 'utf8')
}

/** A fenced block of code. */
export interface CodeBlock {
  readonly page: string
  /** Of the first line of its code. */
  readonly line: number
  readonly language: string
  readonly code: string
}

export function codeBlocks(page: string): CodeBlock[] {
  const text = readPage(page)
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length + 1,
    language: match[1] ?? '',
    code: match[2] ?? '',
  }))
}

/** The text without blocks of code. */
export function prose(page: string): string {
  return readPage(page).replaceAll(/^```.*?^```$/gms, '')
}

/** Spans of code in the text. */
export function codeSpans(page: string): string[] {
  return [...prose(page).matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!)
}

interface Heading {
  readonly level: number
  readonly title: string
}

export function headings(page: string): Heading[] {
  return [...prose(page).matchAll(/^(#+) (.+)$/gm)].map((match) => ({
    level: match[1]!.length,
    title: match[2]!,
  }))
}

/** What is below a heading, up to the next one of its level or above. */
export function section(page: string, title: string): string {
  const lines = readPage(page).split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === title)
  if (start < 0) throw new Error(`${page} has no heading "${title}"`)
  const level = lines[start]!.indexOf(' ')
  const end = lines.findIndex((line, i) => i > start && /^#+ /.test(line) && line.indexOf(' ') <= level)
  return lines.slice(start + 1, end < 0 ? undefined : end).join('\n')
}

/** The cells of the tables in a text, without their heads. */
export function tableRows(text: string): string[][] {
  const lines = text.split('\n')
  return lines
    .filter((line, i) => line.startsWith('|') && !isRule(line) && !isRule(lines[i + 1] ?? ''))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
}

function isRule(line: string): boolean {
  return /^\|[-:| ]+\|$/.test(line)
}
