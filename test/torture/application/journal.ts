import { openSync, writeSync } from 'node:fs'

/** A file with one JSON document a line, which is whole up to the moment at which its process is killed. */
export class Journal {
  readonly #file: number

  constructor(file: string) {
    this.#file = openSync(file, 'a')
  }

  write(line: object): void {
    writeSync(this.#file, `${JSON.stringify({ at: Date.now(), ...line })}\n`)
  }
}
