import type { Outcome } from '../indexing/bulk-writer.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Burial } from '../streams/dead-letters.ts'

/** Says of a batch what was not written and why: one line for each type of refusal, and one for each dead letter. */
export function logOutcomes(
  logger: Logger,
  index: string,
  outcomes: readonly Outcome[],
  burials: ReadonlyMap<string, Burial>,
): void {
  const ofFate = (wanted: Outcome['fate']): Map<string | undefined, Outcome[]> =>
    Map.groupBy(
      outcomes.filter(({ fate }) => fate === wanted),
      ({ type }) => type,
    )
  for (const [type, waiting] of ofFate('wait')) {
    logger.warn(
      { index, type, documents: waiting.length, reason: waiting[0]?.reason },
      'Elasticsearch did not take these documents now; they are tried again',
    )
  }
  for (const [type, failed] of ofFate('fatal')) {
    const [first] = failed
    logger.error(
      { index, type, documents: failed.length, target: first?.operation.target, reason: first?.reason },
      'nothing can be written to this index until somebody mends it (is it deleted? are the rights right?); trying again',
    )
  }
  for (const { id, type, reason } of burials.values()) {
    logger.error({ index, id, type, reason }, 'this row cannot be indexed and is a dead letter now')
  }
}
