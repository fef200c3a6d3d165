import type { Look } from './look.ts'

/** What two looks at the same row say, when the queue has passed the first in between. */
export type Judgement =
  /** The document is that of the row. */
  | 'in step'
  /** It is not, and no message that was there at the first look will mend it. */
  | 'differs'
  /** Row or document have changed meanwhile, so it may be in flight again: look once more. */
  | 'changing'

/**
 * Judges a difference. A change in flight must not be taken for one: a row that is the same at both looks had its last
 * commit before the first, so the message of that commit was there then and is done now; only then does a difference
 * stay. The version tells of a row that has changed and changed back, and of a document that is being written.
 */
export function judge(first: Look, second: Look): Judgement {
  if (second.finding === undefined) return 'in step'
  return first.expected === second.expected && first.version === second.version ? 'differs' : 'changing'
}
