/**
 * Every Redis key that Redstream uses. All keys of one partition share a hash tag, so that its scripts and
 * blocking reads touch a single slot of a Redis Cluster.
 */

/** One partition of one stream; the unit that has its own ticket counter and consumer groups. */
export interface Partition {
  /** The stream's name, without prefix. */
  readonly stream: string
  /** 0-based. */
  readonly number: number
  readonly keys: PartitionKeys
}

export interface PartitionKeys {
  /** Stream: what groups read first. */
  readonly main: string
  /** Stream: bulk updates and repairs, read when `main` is empty. */
  readonly bulk: string
  /** Stream: what was written in transactions that have not published yet. */
  readonly delay: string
  /** String: the last ticket given out. */
  readonly ticket: string
  /** Set: the write aliases that documents go to at this moment. */
  readonly targets: string
  /** Hash: row key → dead letter as JSON. */
  readonly deadLetters: string
  /** Hash: consumer group of the user's → when it was last served, in ms of Redis' clock. */
  readonly groups: string
  /** Hash: fan-out of the group "cascade" → how far it is, as JSON. */
  readonly fanOuts: string
  /** Hash: row key → entry of the main lane that the group "cascade" has added for it. */
  readonly mainWaiting: string
  /** The same for the bulk lane. */
  readonly bulkWaiting: string
}

/** The two lanes of a stream that consumer groups read. */
export type Lane = 'main' | 'bulk'
export const lanes: readonly Lane[] = ['main', 'bulk']

/** Consumer groups of Redstream itself; all others are the user's. */
export const ownGroups: readonly string[] = ['index', 'cascade']

/**
 * The consumer group of a running `redstream audit`. It comes and goes, so it is treated like one of the user's: when its
 * process was killed, it is reported, and dropped after a while if the setting `dropGroupAfter` says so.
 */
export const auditGroup = 'redstream-audit'

/** Keys of every partition of a stream. `namespace` keeps applications apart that share a Redis. */
export function partitionsOf(namespace: string, stream: string, count: number): Partition[] {
  return Array.from({ length: count }, (_, number) => {
    const tag = count === 1 ? stream : `${stream}:${number}`
    const base = `${prefix(namespace)}:{${tag}}`
    return {
      stream,
      number,
      keys: {
        main: `${base}:main`,
        bulk: `${base}:bulk`,
        delay: `${base}:delay`,
        ticket: `${base}:ticket`,
        targets: `${base}:targets`,
        deadLetters: `${base}:dead-letters`,
        groups: `${base}:groups`,
        fanOuts: `${base}:fan-outs`,
        mainWaiting: `${base}:main:waiting`,
        bulkWaiting: `${base}:bulk:waiting`,
      },
    }
  })
}

/** Keys of the reindex of one stream's index; they lie beside those of its first partition. */
export interface ReindexKeys {
  /** Hash: what is going on, and how far it is. */
  readonly state: string
  /** String that expires: who drives it, as JSON. */
  readonly driver: string
  /** Stream: the slices of the table that are to be copied. */
  readonly slices: string
  /** Stream: empty; a consumer group is on two lanes. */
  readonly sideLane: string
  /** Hash: the cursor of each slice, and sums. */
  readonly progress: string
  /** Stream of one entry: changes when the state or the progress does. */
  readonly news: string
  /** String: when the next rows may be copied, with `--rate`. */
  readonly pace: string
}

/** @param first - the first partition of the stream */
export function reindexKeys({ keys }: Partition): ReindexKeys {
  const base = keys.main.replace(/main$/, 'reindex')
  return {
    state: base,
    driver: `${base}:driver`,
    slices: `${base}:slices`,
    sideLane: `${base}:side-lane`,
    progress: `${base}:progress`,
    news: `${base}:news`,
    pace: `${base}:pace`,
  }
}

/** Hash: member → its last heartbeat as JSON. */
export function workersKey(namespace: string): string {
  return `${prefix(namespace)}:workers`
}

/** Hash: what the followers of the database's log know of its slot, and which indices must be verified since it was lost. */
export function logKey(namespace: string): string {
  return `${prefix(namespace)}:log`
}

/** What is wrong with a stream's name or a namespace, or undefined. Braces would change the hash tag. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (/[{}\s]/.test(name)) return 'contains a brace or white space'
  return undefined
}

function prefix(namespace: string): string {
  return namespace === '' ? 'redstream' : `${namespace}:redstream`
}
