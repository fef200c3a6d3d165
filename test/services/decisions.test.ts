import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { chooseRelease, parseJavaVersion } from '../../services/java.ts'
import { wantedCacheFolder } from '../../services/locations.ts'
import { reasonOf } from '../../services/maven.ts'
import { parseProcStat, parsePs, processTree } from '../../services/processes.ts'
import { isNewEnough, jarEntrySuffix } from '../../services/redis-binary.ts'
import { lastLines } from '../../services/server-handle.ts'

describe('Java', () => {
  test.each([
    ['openjdk version "25.0.3" 2026-04-21 LTS', 25],
    ['openjdk version "21" 2023-09-19', 21],
    ['java version "1.8.0_432"', 8],
    ['The operation couldn’t be completed. Unable to locate a Java Runtime.', undefined],
  ])('%s', (output, major) => {
    expect(parseJavaVersion(output)).toBe(major)
  })

  const javas = (...majors: number[]) => majors.map((major) => ({ home: `/jdk-${major}`, major }))

  test('the newest Elasticsearch that some Java can run is chosen, with the first that can', () => {
    expect(chooseRelease(javas(17, 25, 21))).toEqual({
      version: '9.5.0',
      java: { home: '/jdk-25', major: 25 },
    })
    expect(chooseRelease(javas(11, 17))).toEqual({ version: '8.19.9', java: { home: '/jdk-17', major: 17 } })
    expect(chooseRelease(javas(25), '8.19.9').version).toBe('8.19.9')
  })

  test('too old a Java is one message with what was found and what to do', () => {
    expect(() => chooseRelease(javas(8, 11))).toThrow(
      'Elasticsearch cannot be started: 9.5.0 needs Java 21, 8.19.9 needs Java 17 or newer, and only Java 8 in /jdk-8, ' +
        'Java 11 in /jdk-11 was found. Install a JDK 21, or set ES_JAVA_HOME to one, or ELASTICSEARCH_URL to a server ' +
        'that runs already.',
    )
    expect(() => chooseRelease([])).toThrow('no Java was found')
  })
})

describe('Redis', () => {
  test.each([
    ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', true],
    ['Redis server v=6.2.11 sha=00000000:0', true],
    ['Redis server v=6.0.16 sha=00000000:0', false],
    ['Valkey server v=10.0.0 sha=00000000:0', true],
    ['', false],
  ])('%s', (output, expected) => {
    expect(isNewEnough(output)).toBe(expected)
  })

  test('the program in the jar is chosen by platform', () => {
    expect(jarEntrySuffix('linux', 'x64')).toBe('-linux-amd64')
    expect(jarEntrySuffix('darwin', 'arm64')).toBe('-darwin-arm64')
    expect(jarEntrySuffix('linux', 's390x')).toBeUndefined()
    expect(jarEntrySuffix('win32', 'x64')).toBeUndefined()
  })
})

describe('folders', () => {
  test('downloads are kept where the environment says, the closest name first', () => {
    const all = { REDSTREAM_CACHE: '/a', XDG_CACHE_HOME: '/b' }
    expect(wantedCacheFolder(all, '/home/me')).toBe('/a')
    expect(wantedCacheFolder({ XDG_CACHE_HOME: '/b' }, '/home/me')).toBe('/b/redstream')
    expect(wantedCacheFolder({ REDSTREAM_CACHE: '', XDG_CACHE_HOME: '' }, '/home/me')).toBe(
      '/home/me/.cache/redstream',
    )
  })
})

describe('processes', () => {
  const stat = (state: string, threads: number) =>
    `42 (a (b) c) ${state} 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 ${threads} 0 100 0 0`

  test('a zombie is gone, but not while it still has other threads', () => {
    expect(parseProcStat(stat('S', 1))).toEqual({ pid: 42, parent: 7 })
    expect(parseProcStat(stat('Z', 1))).toBeUndefined()
    expect(parseProcStat(stat('Z', 12))).toEqual({ pid: 42, parent: 7 })
  })

  test('ps is read without zombies', () => {
    expect(parsePs('    1     0 Ss\n  200     1 Z+\n 3000   200 R+\n')).toEqual([
      { pid: 1, parent: 0 },
      { pid: 3000, parent: 200 },
    ])
  })

  test('the tree of a process holds it and all below it, and nothing else, in any table', () => {
    const anyTable = fc.uniqueArray(fc.record({ pid: fc.integer({ min: 1, max: 30 }), parent: fc.nat(30) }), {
      selector: (entry) => entry.pid,
    })
    fc.assert(
      fc.property(anyTable, fc.integer({ min: 1, max: 30 }), (table, rootPid) => {
        const tree = processTree(rootPid, table)
        expect(tree[0]).toBe(rootPid)
        expect(new Set(tree).size).toBe(tree.length)
        for (const { pid, parent } of table) {
          expect(tree.includes(pid)).toBe(pid === rootPid || tree.includes(parent))
        }
      }),
    )
  })
})

describe('messages', () => {
  test('the end of a log shows the reason, not the frames of the stack trace', () => {
    const log = 'started\n\nException in thread "main": no\n\tat a.b.C(D.java:1)\n\tat e.f\n'
    expect(lastLines(log, 2)).toBe('The last lines of its log:\n  started\n  Exception in thread "main": no')
    expect(lastLines('\n')).toBe('Its log is empty.')
  })

  test('of the output of Maven only the error is kept', () => {
    const output = [
      '\u001B[31m[ERROR]\u001B[0m Failed to execute goal: not found',
      '[ERROR] ',
      '[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.',
      '[ERROR] Re-run Maven using the -X switch to enable full debug logging.',
      '[ERROR] [Help 1] somewhere',
    ]
    expect(reasonOf(output.join('\n'))).toBe('[ERROR] Failed to execute goal: not found')
  })
})
