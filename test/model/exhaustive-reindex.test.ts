import { test } from 'vitest'

import { expectBroken, expectKept } from './evidence.ts'
import { explore } from './explore.ts'
import { smallReindex, type Choices } from './small.ts'

/**
 * Every interleaving of a live reindex with two commits, the last of which deletes the row. The arguments are those of
 * the model that the reindex was designed with.
 */

test.each<[string, Choices]>([
  ['the reindex, with a false alarm', {}],
  ['--faults 0', { budget: 0 }],
  ['--faults 0 --targets before-ticket', { budget: 0, rules: { targets: 'before-ticket' } }],
  ['--faults 0 --gc guarded', { budget: 0, rules: { tombstones: 'when-safe' } }],
  ['--faults 0 --delete 0', { budget: 0, states: ['plain', 'plain'] }],
  [
    '--faults 0 --delete 0 --targets after-ticket',
    { budget: 0, states: ['plain', 'plain'], rules: { targets: 'at-sending' } },
  ],
  ['--k 1', { states: ['gone'] }],
])('converges: %s', (name, choices) => {
  expectKept(name, explore(smallReindex(choices)))
})

test.each<[string, Choices]>([
  ['--faults 0 --targets after-ticket', { budget: 0, rules: { targets: 'at-sending' } }],
  ['--faults 0 --targets none', { budget: 0, rules: { targets: 'never' } }],
  ['--faults 0 --gc free', { budget: 0, rules: { tombstones: 'any-time' } }],
])('goes wrong: %s', (name, choices) => {
  expectBroken(name, explore(smallReindex(choices)), /row is gone, but the index has 1/)
})
