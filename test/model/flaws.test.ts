import { test } from 'vitest'

import { runs } from './arbitrary.ts'
import { expectBroken, expectKept, runsFor, seed } from './evidence.ts'
import { explore } from './explore.ts'
import type { Fault } from './scenario.ts'
import { search } from './search.ts'
import { smallReindex } from './small.ts'

/**
 * Where the code does not keep the promises yet. Each is found with the rules as the code has them, and not with those
 * that would mend it: when the code is mended, `trueRules` changes, and the test moves to `sabotage.test.ts`.
 */

test('targets that Redis loses during a reindex: the new index misses changes', () => {
  const faults: readonly Fault[] = ['targets-lost']
  const unnoticed = smallReindex({ states: ['plain'], faults, rules: { lostTargets: 'unnoticed' } })
  expectBroken('lost targets, unnoticed', explore(unnoticed), /row is 1, but the index has/)
  expectKept(
    'lost targets, noticed',
    search(
      runs({ reindex: true, faults: [...faults, 'stop'], rules: { lostTargets: 'noticed' } }),
      runsFor(400),
      seed,
    ),
  )
})
