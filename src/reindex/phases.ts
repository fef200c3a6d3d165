/**
 * The life of a reindex as data. In each phase one thing is to be done, which may be done again by whoever comes
 * after a driver that died; then an event moves it on.
 *
 * ```text
 * creating ► registering ► slicing ► copying ► restoring ► swapping ► confirming ► keeping ► retiring ► dropping ► done
 *     └───────────┴───────────┴─────────┴──────────┴──────────┤                       │
 *                                                             ▼                       ▼
 *                                                         removing ◄────────── swappingBack
 *                                                             └► undone
 * ```
 */
export const phases = {
  creating: 'makes the new index',
  registering: 'lets live changes go to both indices',
  slicing: 'cuts the table into slices',
  copying: 'copies the rows',
  restoring: 'restores the settings of the new index',
  swapping: 'swaps the alias',
  confirming: 'looks whether every change went to the new index',
  keeping: 'keeps the old index for a rollback',
  retiring: 'takes the old index off the live changes',
  dropping: 'removes the old index',
  swappingBack: 'swaps the alias back',
  removing: 'removes the new index',
  done: 'is done',
  undone: 'is undone',
} as const satisfies Record<string, string>

/** What is being done. */
export type Phase = keyof typeof phases

/** What moves a reindex on. */
export type ReindexEvent =
  /** What the phase is for is done. */
  | 'finished'
  /** It cannot be done: Elasticsearch refuses the index, or it is gone. */
  | 'failed'
  /** Redis lost the list of the indices that live changes go to, so the new one may have missed some. */
  | 'lost'
  /** Somebody wants it undone. */
  | 'cancelled'
  /** The time for which the old index is kept is over, or somebody does not want to wait for it. */
  | 'expired'
  /** Somebody wants the old index back. */
  | 'rolledBack'
  /** Somebody has moved the alias to the old index by hand. */
  | 'movedBack'

const undoable = { failed: 'removing', lost: 'removing', cancelled: 'removing' } as const

const transitions: Readonly<Record<Phase, { readonly [E in ReindexEvent]?: Phase }>> = {
  creating: { finished: 'registering', ...undoable },
  registering: { finished: 'slicing', ...undoable },
  slicing: { finished: 'copying', ...undoable },
  copying: { finished: 'restoring', ...undoable },
  restoring: { finished: 'swapping', ...undoable },
  // Whether the alias is swapped is not known while this lasts, so nobody may cancel it.
  swapping: { finished: 'confirming', failed: 'removing', lost: 'removing' },
  // Either index may have missed changes then; the new one stays, and another copy is made.
  confirming: { finished: 'keeping', lost: 'retiring' },
  keeping: { expired: 'retiring', rolledBack: 'swappingBack' },
  // What is searched must go on to get every change.
  retiring: { finished: 'dropping', movedBack: 'removing' },
  dropping: { finished: 'done' },
  swappingBack: { finished: 'removing' },
  removing: { finished: 'undone' },
  done: {},
  undone: {},
}

/** The phase after an event, or undefined when it cannot happen in this one. */
export function nextPhase(phase: Phase, event: ReindexEvent): Phase | undefined {
  return transitions[phase][event]
}

/** Nothing is left to do. */
export function isOver(phase: Phase): boolean {
  return phase === 'done' || phase === 'undone'
}

/** What it was asked for is reached or given up: nobody waits for it any longer. */
export function isSettled(phase: Phase): boolean {
  return ['keeping', 'retiring', 'dropping', 'done', 'undone'].includes(phase)
}

/** What is done depends on how the index is declared. */
export function needsDeclaration(phase: Phase): boolean {
  return ['creating', 'registering', 'slicing', 'copying', 'restoring', 'swapping'].includes(phase)
}
