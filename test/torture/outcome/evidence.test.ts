import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { evidenceOf } from './evidence.ts'

test('collects from the traces what concerns a difference, in the order of time', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'redstream-evidence-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const save = (name: string, lines: object[], end = ''): Promise<void> =>
    writeFile(path.join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join('') + end)
  await save('requests.jsonl', [
    {
      at: 5,
      treatment: 'hold',
      operations: [
        { index: 'cities-1.write', id: '1', version: 9 },
        { index: 'cities-1.write', id: '2' },
      ],
    },
    { at: 6, treatment: 'forward', operations: [{ index: 'countries-1.write', id: '1' }] },
  ])
  await save('streams.jsonl', [
    { at: 4, stream: 'n:redstream:{cities:0}:main', entry: '4-0', fields: ['id', '2', 'id', '1'] },
    { at: 4, stream: 'n:redstream:{countries}:main', entry: '4-1', fields: ['id', '1'] },
    { at: 4, stream: 'n:redstream:{cities:0}:main', entry: '4-2', fields: ['id', '2'] },
  ])
  await save(
    'writes-1.jsonl',
    [
      { at: 1, write: '1.1.0-3', path: 'save' },
      { at: 2, write: '1.1.0-4' },
    ],
    '{"at":',
  )

  const difference = {
    kind: 'stale',
    index: 'cities',
    id: '1',
    expected: { name: '1.1.0-3' },
    found: { content: { name: 'seeded' }, version: 9 },
  } as const
  expect(await evidenceOf(folder, [difference])).toEqual([
    {
      difference,
      trace: [
        { at: 1, write: '1.1.0-3', path: 'save' },
        { at: 4, stream: 'n:redstream:{cities:0}:main', entry: '4-0', fields: ['id', '2', 'id', '1'] },
        { at: 5, treatment: 'hold', operations: [{ index: 'cities-1.write', id: '1', version: 9 }] },
      ],
    },
  ])
})
