import { existsSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, test } from 'vitest'

import { headings, pages, prose, root } from './markdown.ts'

/** The anchors that GitHub gives to the headings of a page. */
function anchors(page: string): Set<string> {
  const found = new Set<string>()
  for (const { title } of headings(page)) {
    const slug = title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-')
    let anchor = slug
    for (let copy = 1; found.has(anchor); copy++) anchor = `${slug}-${copy}`
    found.add(anchor)
  }
  return found
}

/** Links of a page into the repository that lead nowhere. */
function brokenLinks(page: string): string[] {
  const targets = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!)
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false
    const [file = '', anchor] = target.split('#')
    const linked = file === '' ? page : path.posix.join(path.posix.dirname(page), file)
    if (!existsSync(path.join(root, linked))) return true
    return anchor !== undefined && !anchors(linked).has(anchor)
  })
}

describe('links into the repository lead somewhere', () => {
  test.each(pages)('%s', (page) => {
    expect(brokenLinks(page)).toEqual([])
  })
})

test('the README leads to every page of docs, or to its folder', () => {
  const readme = prose('README.md')
  const unnamed = pages
    .filter((page) => page.startsWith('docs/'))
    .filter((page) => !readme.includes(`(${page}`) && !readme.includes(`(${path.posix.dirname(page)})`))
  expect(unnamed).toEqual([])
})
