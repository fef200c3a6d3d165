import { SingleBar } from 'cli-progress'

import type { ReindexProgress } from '../reindex/progress.ts'
import { progressText } from './progress-text.ts'

/** A bar on a terminal that follows a reindex. */
export class ReindexBar {
  readonly #bar = new SingleBar({
    format: '{name} |{bar}| {percentage}% {text}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  #isShown = false

  show(progress: ReindexProgress): void {
    const { name, rows, total } = progress
    const payload = { name, text: progressText(progress) }
    if (!this.#isShown) this.#bar.start(Math.max(1, total), rows, payload)
    this.#isShown = true
    this.#bar.setTotal(Math.max(1, total))
    this.#bar.update(rows, payload)
  }

  end(): void {
    if (this.#isShown) this.#bar.stop()
    this.#isShown = false
  }
}
