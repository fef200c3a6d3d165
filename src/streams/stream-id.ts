/**
 * Ids of Redis stream entries (`<ms>-<sequence>`) as comparable values. As text they must never be compared:
 * "9-0" is before "10-0" (the gem's Trimmer took the textual minimum).
 */
export type StreamId = `${number}-${number}`

interface Parts {
  readonly ms: bigint
  readonly sequence: bigint
}

const largestSequence = 2n ** 64n - 1n

/** Reads an id as Redis writes it; a missing sequence is 0. */
export function parseStreamId(text: string): StreamId {
  if (!/^\d{1,20}(-\d{1,20})?$/.test(text)) throw new TypeError(`not a stream id: ${JSON.stringify(text)}`)
  return (text.includes('-') ? text : `${text}-0`) as StreamId
}

/** Negative when `a` is before `b`, 0 when they are equal. */
export function compareStreamIds(a: StreamId, b: StreamId): number {
  const left = parts(a)
  const right = parts(b)
  if (left.ms !== right.ms) return left.ms < right.ms ? -1 : 1
  if (left.sequence !== right.sequence) return left.sequence < right.sequence ? -1 : 1
  return 0
}

export function smallerStreamId(a: StreamId, b: StreamId): StreamId {
  return compareStreamIds(a, b) <= 0 ? a : b
}

/** The smallest id after `id`. */
export function nextStreamId(id: StreamId): StreamId {
  const { ms, sequence } = parts(id)
  return (sequence === largestSequence ? `${ms + 1n}-0` : `${ms}-${sequence + 1n}`) as StreamId
}

/** When Redis made the id, in ms of its clock. */
export function streamIdMs(id: StreamId): number {
  return Number(parts(id).ms)
}

function parts(id: StreamId): Parts {
  const dash = id.indexOf('-')
  return { ms: BigInt(id.slice(0, dash)), sequence: BigInt(id.slice(dash + 1)) }
}
