import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { cached } from '../../services/cache.ts'
import { downloadWithMaven } from '../../services/maven.ts'
import { unzip } from '../../services/unzip.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'redstream-downloads-test-'))
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

describe('the cache', () => {
  test('is filled once for all who want the same at once', async () => {
    const made: string[] = []
    const make = async (unfinished: string): Promise<void> => {
      made.push(unfinished)
      await writeFile(path.join(unfinished, 'file'), 'whole')
    }
    const found = await Promise.all([1, 2, 3].map(() => cached(folder, 'thing', make)))
    expect(new Set(found)).toEqual(new Set([path.join(folder, 'thing')]))
    expect(made).toHaveLength(1)
    expect(readFileSync(path.join(folder, 'thing', 'file'), 'utf8')).toBe('whole')
    expect(await readdir(folder)).toEqual(['thing'])
  })

  test('holds nothing half-written: neither of a failure nor of a program that was killed', async () => {
    await mkdir(path.join(folder, '.thing.killed'))
    const fail = async (unfinished: string): Promise<void> => {
      await writeFile(path.join(unfinished, 'file'), 'ha')
      throw new Error('no network')
    }
    await expect(cached(folder, 'thing', fail)).rejects.toThrow('no network')
    expect(await readdir(folder)).toEqual([])
    await cached(folder, 'thing', (unfinished) => writeFile(path.join(unfinished, 'file'), 'whole'))
    expect(await readdir(folder)).toEqual(['thing'])
  })

  test('can be read by other users', async () => {
    const make = (unfinished: string): Promise<void> =>
      writeFile(path.join(unfinished, 'program'), '', { mode: 0o700 })
    const target = await cached(folder, 'thing', make)
    expect((await stat(target)).mode & 0o777).toBe(0o755)
    expect((await stat(path.join(target, 'program'))).mode & 0o777).toBe(0o755)
  })
})

/** An archive with `app/bin/run` (executable, "#!/bin/sh\n") and `app/notes.txt` ("stored, not packed\n"). */
const ARCHIVE = Buffer.from(
  'UEsDBAoAAAAAAAAAIVAAAAAAAAAAAAAAAAAEAAAAYXBwL1BLAwQKAAAAAAAAACFQwqCWPxMAAAATAAAADQAAAGFwcC9ub3Rlcy50eHRzdG9yZWQsIG5vdCBwYWNrZWQKUEsDBAoAAAAAAAAAIVAAAAAAAAAAAAAAAAAIAAAAYXBwL2Jpbi9QSwMECgAAAAAAAAAhUB2d+wQKAAAACgAAAAsAAABhcHAvYmluL3J1biMhL2Jpbi9zaApQSwECHgMKAAAAAAAAACFQAAAAAAAAAAAAAAAABAAAAAAAAAAAABAA7UEAAAAAYXBwL1BLAQIeAwoAAAAAAAAAIVDCoJY/EwAAABMAAAANAAAAAAAAAAAAAACkgSIAAABhcHAvbm90ZXMudHh0UEsBAh4DCgAAAAAAAAAhUAAAAAAAAAAAAAAAAAgAAAAAAAAAAAAQAO1BYAAAAGFwcC9iaW4vUEsBAh4DCgAAAAAAAAAhUB2d+wQKAAAACgAAAAsAAAAAAAAAAAAAAO2BhgAAAGFwcC9iaW4vcnVuUEsFBgAAAAAEAAQA3AAAALkAAAAAAA==',
  'base64',
)

describe('unpacking', () => {
  test('keeps contents and executable files executable, under the names that are wanted', async () => {
    const archive = path.join(folder, 'archive.zip')
    await writeFile(archive, ARCHIVE)
    await unzip(archive, folder, (name) => (name.endsWith('.txt') ? undefined : name.replace('app/', 'out/')))
    expect(readFileSync(path.join(folder, 'out/bin/run'), 'utf8')).toBe('#!/bin/sh\n')
    expect((await stat(path.join(folder, 'out/bin/run'))).mode & 0o111).not.toBe(0)
    expect(existsSync(path.join(folder, 'out/notes.txt'))).toBe(false)
  })

  test.each([
    ['cut off', ARCHIVE.subarray(0, ARCHIVE.length - 40)],
    [
      'with another letter inside',
      Buffer.from(ARCHIVE.toString('latin1').replace('stored', 'Stored'), 'latin1'),
    ],
  ])('refuses an archive %s', async (_, damaged) => {
    const archive = path.join(folder, 'archive.zip')
    await writeFile(archive, damaged)
    await expect(unzip(archive, folder, (name) => name)).rejects.toThrow()
  })
})

describe('Maven', () => {
  const download = {
    artifact: 'com.example:missing:1',
    errorCode: 'REDIS',
    otherwise: 'set REDIS_URL',
  } as const

  test('that is not installed is one message with what to do', async () => {
    vi.stubEnv('PATH', folder)
    await expect(downloadWithMaven(download, folder)).rejects.toThrow(
      'com.example:missing:1 cannot be downloaded: the command "mvn" (Maven) is not on the PATH. Install Maven, or set REDIS_URL.',
    )
  })

  test('that fails is one message with its reason and what to do', async () => {
    // What Maven answers depends on the network; that the message holds its answer does not.
    const program =
      '#!/bin/sh\necho "[ERROR] Could not find artifact"\necho "[ERROR] [Help 1] somewhere"\nexit 1\n'
    await writeFile(path.join(folder, 'mvn'), program, { mode: 0o755 })
    vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`)
    await expect(downloadWithMaven(download, folder)).rejects.toThrow(
      "Maven could not download com.example:missing:1 (exit code 1). Check the network and Maven's settings, or set REDIS_URL. It says: [ERROR] Could not find artifact",
    )
  })
})
