import type { DeadLetter } from '../streams/dead-letters.ts'
import type { Finding, Look } from './look.ts'
import type { FoundMessage, MessageSearch } from './message-search.ts'

/** What is known of one row and its document. */
export interface Facts {
  /** Name of the index. */
  readonly name: string
  readonly id: string
  readonly look: Pick<Look, 'hasRow' | 'isHome' | 'version' | 'finding'>
  readonly search: MessageSearch
  /** Streams in which changes of rows wait that documents of this index embed. */
  readonly cascades: readonly string[]
  readonly letter: DeadLetter | undefined
  /** Kinds of workers that are alive. */
  readonly alive: ReadonlySet<string>
}

/** In one or two sentences: whether the document is as it should be, and if not, why, and what to do. */
export function verdict(facts: Facts): string {
  const { look, search } = facts
  const { finding } = look
  if (finding !== undefined) return `${problem(finding, look)}: ${cause(facts, finding)}.`
  const waiting = search.messages.some(({ state }) => state !== 'done')
  const again = waiting ? ' A message for it waits, so it will be read and written once more.' : ''
  if (look.version !== undefined) return `The document is that of the row.${again}`
  return look.hasRow
    ? `The row shall have no document (\`when\`), and has none.${again}`
    : `There is neither a row nor a document with this id.${again}`
}

function problem(finding: Finding, { hasRow, isHome, version }: Facts['look']): string {
  switch (finding.kind) {
    case 'missing':
      return 'The row has no document'
    case 'stale':
      return `The document is not that of the row (${finding.fields.map(({ field }) => field).join(', ')})`
    case 'orphaned':
      if (hasRow && !isHome) return 'The row has its document elsewhere, but there is another one'
      return hasRow
        ? 'The row shall have no document (`when`), but there is one'
        : 'There is a document, but no row'
    case 'unindexable':
      return version === undefined
        ? 'The row has no document, and none can be made'
        : 'The document is that of an earlier row, and no new one can be made'
  }
}

function cause({ name, id, search, cascades, letter, alive }: Facts, finding: Finding): string {
  const { messages, all, entries } = search
  const inState = (state: FoundMessage['state']): FoundMessage | undefined =>
    messages.find((message) => message.state === state)
  const working = inState('in work')
  if (working !== undefined) {
    const again = working.deliveries === 1 ? '' : `, given out ${working.deliveries} times`
    return `a consumer works on it (${working.consumer}, message of ${working.at}${again})`
  }
  const unread = inState('unread')
  if (unread !== undefined) {
    const help = alive.has('consumer') ? '' : ', and no consumer is alive: start one with `redstream run`'
    return `a message of ${unread.at} waits in the ${unread.stream} lane${help}`
  }
  const delayed = inState('delayed')
  if (delayed !== undefined) {
    const help = alive.has('delayer') ? '' : ', but none is alive: start one with `redstream run`'
    return (
      `a delay message of ${delayed.at} waits, because its transaction is open or its process died before the ` +
      `publish; a Delayer moves it when it is as old as the setting \`delay\`${help}`
    )
  }
  if (letter !== undefined) {
    return (
      `it could not be indexed (${letter.type}: ${letter.reason}); mend the cause, then run ` +
      `\`redstream dead-letters retry --stream ${letter.stream} --id ${id}\``
    )
  }
  if (finding.kind === 'unindexable') return finding.reason
  if (cascades.length > 0) {
    const help = alive.has('consumer') ? '' : ', and no consumer is alive: start one with `redstream run`'
    return `changes of rows that such documents embed wait in ${cascades.join(', ')}${help}`
  }
  const looked = all ? 'no message for it is waiting' : `none of the newest ${entries} messages is for it`
  return `${looked}; run \`redstream verify ${name} --repair --ids ${id}\``
}
