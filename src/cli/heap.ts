import { setFlagsFromString } from 'node:v8'

/*
 * How V8 collects garbage, for processes that work on one batch after the other: what a batch has allocated is garbage
 * soon, and by default V8 lets hundreds of MiB of it gather before it looks. Measured in `bench/PROFILE.md`. V8 reads these
 * flags each time that it decides how large the heap may grow, so they need not be given to `node`, as
 * `--max-semi-space-size` must be. They change when garbage is collected, and nothing else.
 */

/** The young generation does not grow. Before the program is loaded, because that makes it grow to its largest size. */
export function keepYoungSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/** The old generation may become twice as large as what was alive after its last collection. */
export function collectSooner(): void {
  setFlagsFromString('--heap-growing-percent=100')
}
