import type { ReindexState } from './state.ts'

/** What `redstream reindex NAME --json` prints. */
export interface ReindexResult {
  name: string
  from: string
  to: string
  documents: number
  seconds: number
}

/** What a reindex came to. */
export function resultOf({ name, from, to, documents, startedAt, swappedAt }: ReindexState): ReindexResult {
  return { name, from, to, documents, seconds: Math.round(((swappedAt ?? startedAt) - startedAt) / 100) / 10 }
}
