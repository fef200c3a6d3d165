/** How long the newest row that was taken must be known before looks begin behind it. */
const marginMs = 2_000
const marksEveryMs = 200

/** Looks at all rows may take so many times less of the time than there is between them. */
const shareOfFullLooks = 20
/** But for so long at most: a single look may have taken long for another reason, such as a lock on the table. */
const mostBetweenMs = 30_000

/**
 * Where the next look into the outbox begins. Usually that is at its beginning. But as long as somebody keeps an old
 * snapshot (a report, a backup), PostgreSQL cannot forget the rows that were deleted since, and each look passes over all
 * of them: the more there are, the fewer looks are possible, and in the end relays would not keep up. So looks that take
 * long begin behind what was taken two seconds ago, but for a twentieth of the time, and at least once in half a minute.
 * These find what is older: rows of
 * transactions that were open for longer, and what a relay that died had in hand.
 *
 * No I/O and no clock of its own.
 */
export class LookFrom {
  #floor = 0n
  #marks: { readonly atMs: number; readonly id: bigint }[] = []
  #fullFromMs = -Infinity

  /** The id behind which a look at this moment begins; 0: at all rows. */
  at(nowMs: number): bigint {
    return nowMs >= this.#fullFromMs ? 0n : this.#floor
  }

  /**
   * After a look.
   *
   * @param from - what {@link at} said
   * @param newest - the largest id that it found; undefined when it found nothing
   */
  looked(from: bigint, newest: bigint | undefined, beganMs: number, endedMs: number): void {
    if (from === 0n) {
      const pauseMs = shareOfFullLooks * (endedMs - beganMs)
      this.#fullFromMs = endedMs + Math.min(pauseMs, mostBetweenMs)
    }
    if (newest !== undefined && endedMs - (this.#marks.at(-1)?.atMs ?? -Infinity) >= marksEveryMs) {
      this.#marks.push({ atMs: endedMs, id: newest })
    }
    while (this.#marks[0] !== undefined && endedMs - this.#marks[0].atMs > marginMs) {
      const { id } = this.#marks.shift()!
      if (id > this.#floor) this.#floor = id
    }
  }
}
