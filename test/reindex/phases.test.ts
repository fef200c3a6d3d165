import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import {
  isOver,
  isSettled,
  nextPhase,
  phases,
  type Phase,
  type ReindexEvent,
} from '../../src/reindex/phases.ts'

const events: readonly ReindexEvent[] = [
  'finished',
  'failed',
  'lost',
  'cancelled',
  'expired',
  'rolledBack',
  'movedBack',
]
const names = Object.keys(phases) as Phase[]

test('without a fault it goes its way to the end', () => {
  const way: Phase[] = ['creating']
  for (let phase: Phase | undefined = 'creating'; phase !== undefined;) {
    phase = nextPhase(phase, phase === 'keeping' ? 'expired' : 'finished')
    if (phase !== undefined) way.push(phase)
  }
  expect(way).toEqual([
    'creating',
    'registering',
    'slicing',
    'copying',
    'restoring',
    'swapping',
    'confirming',
    'keeping',
    'retiring',
    'dropping',
    'done',
  ])
})

test('nothing follows an end, and something follows everything else', () => {
  for (const phase of names) {
    const following = events.filter((event) => nextPhase(phase, event) !== undefined)
    expect([phase, following.length === 0]).toEqual([phase, isOver(phase)])
  }
})

test('nobody can cancel a reindex from the swap on, and nobody can roll it back before', () => {
  const cancellable = names.filter((phase) => nextPhase(phase, 'cancelled') !== undefined)
  expect(cancellable).toEqual(['creating', 'registering', 'slicing', 'copying', 'restoring'])
  expect(names.filter((phase) => nextPhase(phase, 'rolledBack') !== undefined)).toEqual(['keeping'])
})

/** Two indices, the alias and the targets, as far as the phases change them. */
interface World {
  alias: 'old' | 'new'
  targets: Set<'old' | 'new' | 'mark'>
  indices: Set<'old' | 'new'>
  /** Indices that have not got every change; an index that is not complete yet has missed those before it. */
  behind: Set<'old' | 'new'>
}

/** What each phase does, as the Conductor does it; the event that it ends with. */
const work: Record<Phase, (world: World) => ReindexEvent | undefined> = {
  creating: ({ indices, behind }) => {
    if (!indices.has('new')) behind.add('new')
    indices.add('new')
    return 'finished'
  },
  registering: ({ targets }) => {
    for (const member of ['old', 'new', 'mark'] as const) targets.add(member)
    return 'finished'
  },
  slicing: () => 'finished',
  copying: ({ targets, behind }) => {
    if (!targets.has('mark')) return 'lost'
    behind.delete('new')
    return 'finished'
  },
  restoring: () => 'finished',
  swapping: (world) => {
    if (world.alias === 'new') return 'finished'
    if (!world.targets.has('mark')) return 'lost'
    world.alias = 'new'
    return 'finished'
  },
  confirming: ({ targets }) => (targets.has('mark') ? 'finished' : 'lost'),
  keeping: () => undefined,
  retiring: ({ alias, targets }) => {
    if (alias === 'old') return 'movedBack'
    targets.delete('old')
    targets.delete('mark')
    return 'finished'
  },
  dropping: ({ indices }) => {
    indices.delete('old')
    return 'finished'
  },
  swappingBack: (world) => {
    world.alias = 'old'
    return 'finished'
  },
  removing: ({ targets, indices }) => {
    targets.delete('new')
    targets.delete('mark')
    indices.delete('new')
    return 'finished'
  },
  done: () => undefined,
  undone: () => undefined,
}

type Happening =
  | 'step'
  | 'step and die'
  | 'change'
  | 'targets are lost'
  | 'somebody moves the alias back'
  | Exclude<ReindexEvent, 'movedBack'>

const happenings = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.constant<Happening>('step') },
    { weight: 3, arbitrary: fc.constantFrom<Happening>('step and die', 'change', 'change') },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Happening>(
        'targets are lost',
        'somebody moves the alias back',
        'cancelled',
        'failed',
        'expired',
        'rolledBack',
      ),
    },
  ),
  { maxLength: 40 },
)

test('whatever happens, the alias points to one index that is there and has every change', () => {
  fc.assert(
    fc.property(happenings, (run) => {
      const world: World = {
        alias: 'old',
        targets: new Set(['old']),
        indices: new Set(['old']),
        behind: new Set(),
      }
      let phase = 'creating' as Phase
      let isLost = false
      const happen = (happening: Happening): void => {
        if (happening === 'change') {
          // Who finds no targets learns them from the alias.
          if (world.targets.size === 0) world.targets.add(world.alias)
          for (const index of ['old', 'new'] as const) if (!world.targets.has(index)) world.behind.add(index)
        } else if (happening === 'targets are lost') {
          world.targets.clear()
          isLost = true
        } else if (happening === 'somebody moves the alias back') {
          if (phase === 'keeping' && world.targets.has('mark')) world.alias = 'old'
        } else if (happening === 'step' || happening === 'step and die') {
          const event = work[phase](world)
          if (event !== undefined && happening === 'step') phase = nextPhase(phase, event) ?? phase
        } else if (happening === 'rolledBack' && !world.targets.has('mark')) {
          // Refused: the old index may have missed changes.
        } else if (happening === 'failed' && phase === 'swapping' && world.alias === 'new') {
          // What fails is not the swap, and is tried again.
        } else phase = nextPhase(phase, happening) ?? phase
        expect(world.indices).toContain(world.alias)
        const mayMiss = isLost && ['swapping', 'confirming', 'retiring', 'dropping', 'done'].includes(phase)
        if (!mayMiss && phase !== 'swappingBack') expect(world.behind.has(world.alias)).toBe(false)
      }
      for (const happening of run) happen(happening)
      // Whoever comes after all deaths brings it to an end.
      for (let i = 0; i < 20 && !isOver(phase); i++) happen(phase === 'keeping' ? 'expired' : 'step')
      expect(isOver(phase)).toBe(true)
      expect([...world.indices]).toEqual([world.alias])
      expect([...world.targets].filter((target) => target !== world.alias)).toEqual([])
      expect(isSettled(phase)).toBe(true)
    }),
    { numRuns: 5_000 },
  )
})
