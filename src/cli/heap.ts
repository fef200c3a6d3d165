import { setFlagsFromString } from 'node:v8'

/**
 * Lets V8 collect garbage sooner, for processes that work on one batch after the other: what a batch has allocated is
 * garbage soon, and by default V8 lets hundreds of MiB of it gather before it looks. Measured in `bench/PROFILE.md`.
 *
 * V8 reads both flags each time that it decides how large the heap may grow, so they need not be given to `node`, as
 * `--max-semi-space-size` must be. They change when garbage is collected, and nothing else.
 */
export function collectSooner(): void {
  // The young generation stays as large as it is when the program is loaded.
  setFlagsFromString('--semi-space-growth-factor=1')
  // The old one may grow by half of what was alive after its last collection.
  setFlagsFromString('--heap-growing-percent=50')
}
