import Table from 'cli-table3'
import { MultiBar } from 'cli-progress'
import colors from 'picocolors'

/** Something that is counted up to a total. */
export interface Track {
  readonly label: string
  readonly total: number
}

/** A running progress display. */
export interface Progress {
  /** One value for each track, in their order. */
  update(values: readonly number[]): void
  stop(): void
}

const indent = '   '
/** Without a terminal a line is printed so often at most. */
const lineEveryMs = 5_000

/** What the demo prints: numbered steps, sentences, tables, progress. Colours and bars only on a terminal. */
export class Screen {
  readonly #output: NodeJS.WriteStream
  readonly #colors: ReturnType<typeof colors.createColors>
  #steps = 0
  #current = 'the demo'

  constructor(output: NodeJS.WriteStream) {
    this.#output = output
    // `isTTY` is undefined for a pipe, and undefined would mean "as the environment says".
    this.#colors = colors.createColors(output.isTTY === true && colors.isColorSupported)
  }

  /** The step that was begun last, for error messages. */
  get currentStep(): string {
    return this.#current
  }

  heading(text: string): void {
    this.#print(this.#colors.bold(text))
  }

  /** Begins the next step; the sentences say what happens and why it matters. */
  step(title: string, sentences: string): void {
    this.#steps += 1
    this.#current = `step ${this.#steps} (${title})`
    this.#print('')
    this.#print(this.#colors.bold(this.#colors.cyan(`${this.#steps}. ${title}`)))
    for (const line of wrap(sentences, Math.min(100, (this.#output.columns ?? 100) - indent.length)))
      this.#print(indent + this.#colors.dim(line))
  }

  line(text: string): void {
    this.#print(indent + text)
  }

  /** A line without indentation, as the last one is. */
  plain(text: string): void {
    this.#print(text)
  }

  table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
    const table = new Table({
      head: head.map((title) => this.#colors.dim(title)),
      colAligns: head.map((_, column) => (typeof rows[0]?.[column] === 'number' ? 'right' : 'left')),
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
      chars: borderless,
    })
    for (const row of rows)
      table.push(row.map((cell) => (typeof cell === 'number' ? formatCount(cell) : cell)))
    for (const line of table.toString().split('\n')) this.#print(`${indent}  ${line.trimEnd()}`)
  }

  progress(tracks: readonly Track[]): Progress {
    return this.#output.isTTY ? this.#bars(tracks) : this.#lines(tracks)
  }

  #bars(tracks: readonly Track[]): Progress {
    const width = Math.max(...tracks.map(({ label }) => label.length))
    const bars = new MultiBar({
      format: `${indent}{label} {bar} {counted} of {all}  {rate}/s`,
      stream: this.#output,
      barsize: 30,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      gracefulExit: false,
    })
    const begin = performance.now()
    const payload = (value: number, { label, total }: Track) => ({
      label: label.padEnd(width),
      counted: formatCount(value).padStart(formatCount(total).length),
      all: formatCount(total),
      rate: formatCount(rate(value, performance.now() - begin)),
    })
    const running = tracks.map((track) => bars.create(track.total, 0, payload(0, track)))
    return {
      update: (values) =>
        running.forEach((bar, i) => bar.update(values[i] ?? 0, payload(values[i] ?? 0, tracks[i]!))),
      stop: () => bars.stop(),
    }
  }

  #lines(tracks: readonly Track[]): Progress {
    const begin = performance.now()
    let printed = begin
    return {
      update: (values) => {
        const now = performance.now()
        if (now - printed < lineEveryMs) return
        printed = now
        this.line(progressLine(tracks, values, now - begin))
      },
      stop: () => undefined,
    }
  }

  #print(line: string): void {
    this.#output.write(`${line}\n`)
  }
}

/** `rows written 52,000 of 171,075 (8,200/s), documents found 41,000 of 171,075 (6,400/s)` */
export function progressLine(tracks: readonly Track[], values: readonly number[], elapsedMs: number): string {
  return tracks
    .map(({ label, total }, i) => {
      const value = values[i] ?? 0
      return `${label} ${formatCount(value)} of ${formatCount(total)} (${formatCount(rate(value, elapsedMs))}/s)`
    })
    .join(', ')
}

/** How many a second, as a whole number. */
export function rate(count: number, elapsedMs: number): number {
  return elapsedMs <= 0 ? 0 : Math.round((count / elapsedMs) * 1_000)
}

/** `171,075` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** `340 ms`, `12.3 s` */
export function formatTime(milliseconds: number): string {
  return milliseconds < 1_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1_000).toFixed(1)} s`
}

/** Breaks a text into lines of at most `width` characters, between words. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

const borderless = Object.fromEntries(
  'top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid middle'
    .split(' ')
    .map((name) => [name, '']),
)
