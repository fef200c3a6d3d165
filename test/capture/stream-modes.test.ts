import { expect, it } from 'vitest'

import { captureModesOf, capturedBy } from '../../src/capture/stream-modes.ts'
import type { CaptureMode } from '../../src/capture/modes.ts'
import type { CascadeSource } from '../../src/cascade/streams.ts'
import type { CascadePath } from '../../src/cascade/paths.ts'
import type { IndexDefinition, StreamDefinition } from '../../src/indexed.ts'

const index = (name: string, capture?: CaptureMode): IndexDefinition =>
  ({ name, stream: name, partitions: 1, options: capture ? { capture } : {} }) as IndexDefinition

const source = (definition: StreamDefinition, ...owners: IndexDefinition[]): CascadeSource => ({
  definition,
  paths: owners.map((owner) => ({ owner }) as CascadePath),
})

it('takes the mode of an index from its declaration, else from the setting', () => {
  const [plain, own] = [index('plain'), index('own', 'trigger')]
  expect([...captureModesOf([plain, own], [], 'outbox').values()]).toEqual(['outbox', 'trigger'])
})

it('captures an embedded table by whichever of its owners’ modes sees most', () => {
  const [cities, shops] = [index('cities', 'trigger'), index('shops')]
  const countries = { name: 'embedded:countries', options: {} } as StreamDefinition
  const modes = captureModesOf([cities, shops], [source(countries, shops, cities)], 'subscriber')
  expect(modes.get(countries)).toBe('trigger')
  expect(capturedBy(modes, ['trigger'])).toEqual([cities, countries])
})

it('captures an indexed table that another index embeds by the mode that sees more', () => {
  const [countries, cities] = [index('countries'), index('cities', 'wal')]
  const modes = captureModesOf([countries, cities], [source(countries, cities)], 'outbox')
  expect(modes.get(countries)).toBe('wal')
  expect(modes.get(cities)).toBe('wal')
})

it('does not lower the mode of an index because a weaker one embeds it', () => {
  const [countries, cities] = [index('countries', 'wal'), index('cities')]
  expect(captureModesOf([countries, cities], [source(countries, cities)], 'subscriber').get(countries)).toBe(
    'wal',
  )
})
