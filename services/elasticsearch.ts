import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

import { RedstreamError } from '../src/errors.ts'
import { cached } from './cache.ts'
import type { ServerCommand } from './guard-protocol.ts'
import { Guard } from './guarded.ts'
import { chooseRelease, findJavas, type ElasticsearchVersion, type Java } from './java.ts'
import { cacheFolder, temporaryFolder } from './locations.ts'
import { downloadWithMaven } from './maven.ts'
import { probeElasticsearch } from './probes.ts'
import { serverUser, type ServerUser } from './run-as.ts'
import { lastLines, startServer, type ServerHandle } from './server-handle.ts'
import { unzip } from './unzip.ts'

export interface ElasticsearchOptions {
  /** Default: the newest that a Java of this machine can run. */
  readonly version?: ElasticsearchVersion
  /** Size of the Java heap in MiB. Default: 512. */
  readonly heapMiB?: number
  /** Turns security on, with this password for the user `elastic`. Default: off, everybody may do everything. */
  readonly password?: string
  /** More settings, for example `{ 'indices.breaker.total.limit': '60%' }`. */
  readonly settings?: Readonly<Record<string, string>>
  readonly progress?: (line: string) => void
}

/**
 * Starts an Elasticsearch of one's own, on one node and without plugins.
 *
 * @throws RedstreamError ELASTICSEARCH_UNAVAILABLE: no Java fits, the download failed, or it ended while starting;
 * TIMEOUT: it did not answer in time.
 */
export async function startElasticsearch(options: ElasticsearchOptions = {}): Promise<ServerHandle> {
  const user = serverUser()
  const { version, java } = chooseRelease(findJavas(user), options.version)
  const home = await elasticsearchHome(version, java, user, options.progress)
  const guard = await Guard.open({
    folderPrefix: path.join(temporaryFolder(user), 'redstream-elasticsearch-'),
    endSignal: 'SIGKILL',
    ...(user === undefined ? {} : { owner: user }),
  })
  const instance = {
    home,
    java,
    folder: guard.folder,
    cluster: `redstream-${randomBytes(6).toString('hex')}`,
  }
  try {
    await prepareFolders(instance, user)
    if (options.password !== undefined) await setPassword(guard, instance, options.password)
  } catch (error) {
    await guard.close()
    throw error
  }
  const credentials = options.password === undefined ? '' : `elastic:${encodeURIComponent(options.password)}@`
  return startServer({
    name: 'Elasticsearch',
    errorCode: 'ELASTICSEARCH_UNAVAILABLE',
    guard,
    command: (port) => serverCommand(instance, port, options),
    url: (port) => `http://${credentials}127.0.0.1:${port}`,
    probe: async (url) => {
      const { cluster } = await probeElasticsearch(url)
      if (cluster !== instance.cluster) throw new Error('another Elasticsearch answered')
    },
    portTaken: /BindHttpException|BindTransportException|Address already in use/,
    // A JVM that was killed has left the file by which it is spoken to, and another user owns it.
    pidTaken: /\.java_pid\d+ is not secure/,
    stopSignal: 'SIGTERM',
    readyWithinMs: 180_000,
  })
}

interface Instance {
  readonly home: string
  readonly java: Java
  readonly folder: string
  readonly cluster: string
}

/** The unpacked server, downloaded when it is not in the cache. The artifact is the real server with few modules. */
function elasticsearchHome(
  version: ElasticsearchVersion,
  java: Java,
  user: ServerUser | undefined,
  progress: (line: string) => void = () => undefined,
): Promise<string> {
  return cached(cacheFolder(user), `elasticsearch-${version}`, async (folder) => {
    progress(`Elasticsearch: downloading ${version} (130 MB) with Maven, once`)
    const artifact = `org.elasticsearch.distribution.integ-test-zip:elasticsearch:${version}:zip`
    const otherwise = 'set ELASTICSEARCH_URL to a server that runs already'
    const archive = await downloadWithMaven(
      { artifact, errorCode: 'ELASTICSEARCH_UNAVAILABLE', otherwise, javaHome: java.home },
      folder,
    )
    await unzip(archive, folder, (name) => name.slice(name.indexOf('/') + 1))
    await rm(archive)
    // The launcher looks for it and the archive's empty folders are not unpacked.
    await mkdir(path.join(folder, 'plugins'), { recursive: true })
  })
}

async function prepareFolders(instance: Instance, user: ServerUser | undefined): Promise<void> {
  const config = path.join(instance.folder, 'config')
  await cp(path.join(instance.home, 'config'), config, { recursive: true })
  await mkdir(path.join(config, 'jvm.options.d'), { recursive: true })
  const tmp = path.join(instance.folder, 'tmp')
  await mkdir(tmp)
  // It reads its configuration, and writes its keystore beside it.
  if (user !== undefined) await promisify(execFile)('chown', ['-R', `${user.uid}:${user.gid}`, config, tmp])
}

/** The password goes through stdin: arguments and environments can be read by others. */
async function setPassword(guard: Guard, instance: Instance, password: string): Promise<void> {
  const file = path.join(instance.home, 'bin', 'elasticsearch-keystore')
  // Forced, it makes the keystore without asking.
  const args = ['add', '--force', '--stdin', 'bootstrap.password']
  const { code, output } = await guard.run({ file, args, env: environment(instance) }, password)
  if (code === 0) return
  const message = `The password of Elasticsearch could not be set. ${lastLines(output)}`
  throw new RedstreamError('ELASTICSEARCH_UNAVAILABLE', message)
}

function environment(instance: Instance, heapMiB?: number): Record<string, string> {
  const heap = heapMiB === undefined ? '' : `-Xms${heapMiB}m -Xmx${heapMiB}m `
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: instance.folder,
    HOSTNAME: os.hostname(),
    ES_JAVA_HOME: instance.java.home,
    ES_PATH_CONF: path.join(instance.folder, 'config'),
    ES_TMPDIR: path.join(instance.folder, 'tmp'),
    // Its garbage collection log and heap dumps would only fill the disk.
    ES_JAVA_OPTS: `${heap}-XX:-HeapDumpOnOutOfMemoryError -Xlog:disable -Xlog:all=warning:stderr`,
  }
}

function serverCommand(instance: Instance, port: number, options: ElasticsearchOptions): ServerCommand {
  const settings: Record<string, string> = {
    'cluster.name': instance.cluster,
    'network.host': '127.0.0.1',
    'http.port': String(port),
    // Nobody else talks to it on this port: any free one will do.
    'transport.port': '0',
    'path.data': path.join(instance.folder, 'data'),
    'path.logs': path.join(instance.folder, 'logs'),
    'discovery.type': 'single-node',
    'xpack.security.enabled': String(options.password !== undefined),
    // Every test has indices of its own, and a full disk of a developer must not make them read-only.
    'cluster.max_shards_per_node': '100000',
    'cluster.routing.allocation.disk.threshold_enabled': 'false',
    ...options.settings,
  }
  return {
    file: path.join(instance.home, 'bin', 'elasticsearch'),
    args: Object.entries(settings).flatMap(([name, value]) => ['-E', `${name}=${value}`]),
    env: environment(instance, options.heapMiB ?? 512),
  }
}
