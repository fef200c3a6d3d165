/**
 * What a transaction has changed so far, as a stack: one frame per open savepoint. A savepoint that is released
 * keeps its changes in the frame below, one that is rolled back takes them away. Pure; the model test walks it
 * against a plain array of snapshots.
 */
export class TransactionBuffer<Owner, Change> {
  #frames: Map<Owner, Map<string, Change>>[] = [new Map()]
  readonly #merge: (earlier: Change, later: Change) => Change

  /** @param merge - makes one change of two of the same row. Default: the later one */
  constructor(merge: (earlier: Change, later: Change) => Change = (_, later) => later) {
    this.#merge = merge
  }

  /** Notes a change of the row `key`. */
  add(owner: Owner, key: string, change: Change): void {
    const frame = this.#frames.at(-1)!
    const rows = frame.get(owner) ?? new Map<string, Change>()
    frame.set(owner, rows)
    const earlier = rows.get(key)
    rows.set(key, earlier === undefined ? change : this.#merge(earlier, change))
  }

  beginSavepoint(): void {
    this.#frames.push(new Map())
  }

  releaseSavepoint(): void {
    // A subscriber that was registered inside a transaction has not seen its savepoints begin.
    if (this.#frames.length > 1) this.#mergeTop()
  }

  rollbackSavepoint(): void {
    if (this.#frames.length > 1) this.#frames.pop()
    else this.#frames = [new Map()]
  }

  /** How many changes the innermost savepoint has. */
  get sizeOfTop(): number {
    let size = 0
    for (const rows of this.#frames.at(-1)!.values()) size += rows.size
    return size
  }

  /** Takes the changes of the innermost savepoint out: whoever has them now must undo them with it. */
  takeTop(): Map<Owner, Map<string, Change>> {
    const top = this.#frames.at(-1)!
    this.#frames[this.#frames.length - 1] = new Map()
    return top
  }

  /** Every change that the commit makes true; savepoints that are still open are released by it. */
  changes(): Map<Owner, Map<string, Change>> {
    while (this.#frames.length > 1) this.#mergeTop()
    return this.#frames[0]!
  }

  #mergeTop(): void {
    const top = this.#frames.pop()!
    for (const [owner, rows] of top) {
      for (const [key, change] of rows) this.add(owner, key, change)
    }
  }
}
