import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

import { RedstreamError } from '../src/errors.ts'
import type { ServerUser } from './run-as.ts'

export interface Java {
  readonly home: string
  readonly major: number
}

/** The releases of Elasticsearch that can be started, the preferred one first, with the Java that each needs. */
export const elasticsearchReleases = [
  { version: '9.5.0', java: 21 },
  { version: '8.19.9', java: 17 },
] as const

export type ElasticsearchVersion = (typeof elasticsearchReleases)[number]['version']

/** The newest release that one of `javas` can run, and the first of them that can. */
export function chooseRelease(
  javas: readonly Java[],
  wanted?: ElasticsearchVersion,
): { version: ElasticsearchVersion; java: Java } {
  for (const release of elasticsearchReleases) {
    if (wanted !== undefined && release.version !== wanted) continue
    const java = javas.find((candidate) => candidate.major >= release.java)
    if (java !== undefined) return { version: release.version, java }
  }
  const found = javas.map((java) => `Java ${java.major} in ${java.home}`).join(', ')
  const have = found === '' ? 'no Java was found' : `only ${found} was found`
  const needs = elasticsearchReleases.map(({ version, java }) => `${version} needs Java ${java}`).join(', ')
  const message = `Elasticsearch cannot be started: ${needs} or newer, and ${have}. Install a JDK 21, or set ES_JAVA_HOME to one, or ELASTICSEARCH_URL to a server that runs already.`
  throw new RedstreamError('ELASTICSEARCH_UNAVAILABLE', message)
}

/** Reads the output of `java -version`: 25 of `"25.0.3"`, 8 of `"1.8.0_432"`. */
export function parseJavaVersion(output: string): number | undefined {
  const match = /version "(?:1\.)?(\d+)/.exec(output)
  return match === null ? undefined : Number(match[1])
}

/** Every Java that the servers' user can run, those named by the environment first. */
export function findJavas(user: ServerUser | undefined): Java[] {
  const homes = new Set(javaHomes().map((home) => (existsSync(home) ? realpathSync(home) : home)))
  return [...homes].flatMap((home) => {
    const major = versionOf(home, user)
    return major === undefined ? [] : [{ home, major }]
  })
}

function javaHomes(): string[] {
  const { ES_JAVA_HOME, JAVA_HOME, PATH = '' } = process.env
  const named = [ES_JAVA_HOME, JAVA_HOME].filter((home): home is string => home !== undefined && home !== '')
  const onPath = PATH.split(path.delimiter)
    .map((folder) => path.join(folder, 'java'))
    .filter((file) => existsSync(file))
    .map((file) => path.resolve(realpathSync(file), '../..'))
  const home = os.homedir()
  const parents = ['/usr/lib/jvm', '/usr/java', '/opt', '/opt/java', `${home}/.jdks`]
  const candidates = [...parents, `${home}/.sdkman/candidates/java`].flatMap(foldersIn)
  const mac = foldersIn('/Library/Java/JavaVirtualMachines').map((folder) => `${folder}/Contents/Home`)
  const brew = ['/opt/homebrew/opt', '/usr/local/opt']
    .flatMap(foldersIn)
    .filter((folder) => path.basename(folder).startsWith('openjdk'))
    .map((folder) => `${folder}/libexec/openjdk.jdk/Contents/Home`)
  return [...named, ...onPath, ...candidates, ...mac, ...brew]
}

function foldersIn(parent: string): string[] {
  return existsSync(parent) ? readdirSync(parent).map((name) => path.join(parent, name)) : []
}

function versionOf(home: string, user: ServerUser | undefined): number | undefined {
  const java = path.join(home, 'bin', 'java')
  if (!existsSync(java)) return undefined
  const identity = user === undefined ? {} : { uid: user.uid, gid: user.gid }
  const { stderr, status } = spawnSync(java, ['-version'], { ...identity, cwd: '/', encoding: 'utf8' })
  return status === 0 ? parseJavaVersion(stderr) : undefined
}
