import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { crc32 } from 'node:zlib'

import yauzl, { type Entry } from 'yauzl'

/**
 * Unpacks those files of a zip archive for which `rename` gives a path below `folder`. Rejects when the archive is
 * damaged. yauzl refuses names that lead out of the folder and checks the sizes, the checksum is checked here.
 */
export async function unzip(
  archive: string,
  folder: string,
  rename: (name: string) => string | undefined,
): Promise<void> {
  const zip = await yauzl.openPromise(archive)
  for await (const entry of zip.eachEntry()) {
    const name = entry.fileName.endsWith('/') ? undefined : rename(entry.fileName)
    if (name === undefined) continue
    const target = path.join(folder, name)
    await mkdir(path.dirname(target), { recursive: true })
    // The upper half of the attributes holds the Unix mode; archives made elsewhere leave it empty.
    const executable = ((entry.externalFileAttributes >>> 16) & 0o111) !== 0
    const file = createWriteStream(target, { mode: executable ? 0o755 : 0o644 })
    await pipeline(await zip.openReadStreamPromise(entry), checked(entry), file)
  }
}

function checked(entry: Entry) {
  return async function* (chunks: AsyncIterable<Buffer>) {
    let sum = 0
    for await (const chunk of chunks) {
      sum = crc32(chunk, sum)
      yield chunk
    }
    if (sum !== entry.crc32) throw new Error(`${entry.fileName} is damaged in the archive`)
  }
}
