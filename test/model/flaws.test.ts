import { test } from 'vitest'

import { runs, type Repertoire } from './arbitrary.ts'
import { expectBroken, expectKept, runsFor, seed } from './evidence.ts'
import { explore } from './explore.ts'
import type { Fault, Rules } from './scenario.ts'
import { search } from './search.ts'
import { smallProtocol, smallReindex } from './small.ts'

/**
 * Where the code does not keep the promises yet. Each is found with the rules as the code has them, and not with those
 * that would mend it: when the code is mended, `trueRules` changes, and the test moves to `sabotage.test.ts`.
 */

const lettersByTicket: Partial<Rules> = { letters: 'by-ticket-and-read-again' }

test('an older batch removes the dead letter of a newer one', () => {
  const world = (rules: Partial<Rules>): ReturnType<typeof smallProtocol> =>
    smallProtocol({ states: ['plain', 'poison'], budget: 0, rules })
  expectBroken(
    'letters removed by anybody',
    explore(world({})),
    /cannot be indexed, but there is no dead letter/,
  )
  expectKept('letters by ticket', explore(world(lettersByTicket)))
})

test('an older batch writes a dead letter for a row that is mended', () => {
  const world = (rules: Partial<Rules>): ReturnType<typeof smallProtocol> =>
    smallProtocol({ states: ['poison', 'plain'], budget: 0, rules })
  const left = /is indexed, but there is a dead letter/
  expectBroken('letters written by anybody', explore(world({})), left)
  expectBroken('letters by ticket alone', explore(world({ letters: 'by-ticket' })), left)
  expectKept('letters by ticket, and looked at again', explore(world(lettersByTicket)))
  const repertoire: Repertoire = { states: ['plain', 'poison', 'gone'], rules: lettersByTicket }
  expectKept('letters by ticket, and looked at again', search(runs(repertoire), runsFor(400), seed))
})

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
