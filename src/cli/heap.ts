import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/*
 * How V8 collects garbage, for processes that work on one batch after the other: what a batch has allocated is garbage
 * soon, and by default V8 lets hundreds of MiB of it gather before it looks. Measured in `bench/PROFILE.md`. V8 reads these
 * flags each time that it decides about the heap, so they need not be given to `node`, as `--max-semi-space-size` must be.
 * They change when garbage is collected, and by how many threads, and nothing else.
 */

/** Two semi-spaces of 2 MiB: with smaller ones, more of a batch outlives them, which costs more than it saves. */
const youngBytes = 4 * 1024 * 1024

/**
 * The young generation has {@link youngBytes} and does not grow, unless the user's flags for V8 say otherwise. Before the
 * program is loaded, because that makes it grow to its largest size.
 */
export function limitYoung(): void {
  // By what it is multiplied when enough of it is alive: once, then.
  setFlagsFromString('--semi-space-growth-factor=2')
  const alive: number[][] = []
  while (youngSize() < youngBytes && alive.length < 1_000)
    alive.push(Array.from({ length: 1_000 }, Math.random))
  setFlagsFromString('--semi-space-growth-factor=1')
  // So little of it is alive at a time that sharing the work among threads is most of the work.
  setFlagsFromString('--no-parallel-scavenge')
}

/** The old generation may become twice as large as what was alive after its last collection. */
export function collectSooner(): void {
  setFlagsFromString('--heap-growing-percent=100')
}

function youngSize(): number {
  return (
    getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? youngBytes
  )
}
