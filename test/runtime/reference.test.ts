import { readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'

import { referencePages } from '../../scripts/reference.ts'
import { loadConfig } from '../../src/runtime/config-loader.ts'
import { options, type Option } from '../../src/runtime/options.ts'
import { resolveSettings } from '../../src/runtime/settings.ts'

it.each(Object.entries(referencePages()))('%s fits the table that it is made from', (file, page) => {
  // When it does not: node scripts/reference.ts
  expect(readFileSync(file, 'utf8')).toBe(page)
})

it('config/redstream.example.ts names every setting with its default', async () => {
  const directory = path.join(import.meta.dirname, '../..')
  const { settings, origins } = await loadConfig({ directory, file: 'config/redstream.example.ts', env: {} })
  expect(settings).toEqual(resolveSettings({}).settings)
  const fromFile = Object.entries(origins).filter(([, origin]) => origin === 'file')
  const rows: [string, Option][] = Object.entries(options)
  expect(fromFile.map(([name]) => name).sort()).toEqual(rows.map(([name]) => name).sort())
})
