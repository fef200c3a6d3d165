import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'

import { RedstreamError, type ErrorCode } from '../src/errors.ts'

/** What is downloaded, for whom, and how to do without it. */
export interface Download {
  /** `group:artifact:version[:packaging]` */
  readonly artifact: string
  readonly errorCode: ErrorCode
  /** The end of the message of a failure: what else the user can do. */
  readonly otherwise: string
  /** Whose Java runs Maven when the environment names none. */
  readonly javaHome?: string
}

/**
 * Downloads an artifact with Maven, so that the user's own settings (mirrors, proxies, passwords) decide from where.
 * Returns the path of the file, in `folder`.
 */
export async function downloadWithMaven(download: Download, folder: string): Promise<string> {
  const { artifact, errorCode, otherwise, javaHome } = download
  const args = [
    '--batch-mode',
    '--quiet',
    'dependency:copy',
    `-Dartifact=${artifact}`,
    `-DoutputDirectory=${folder}`,
  ]
  const env = { ...(javaHome === undefined ? {} : { JAVA_HOME: javaHome }), ...process.env }
  const { code, output } = await runToEnd('mvn', args, folder, env).catch((error: unknown) => {
    const message = `${artifact} cannot be downloaded: the command "mvn" (Maven) is not on the PATH. Install Maven, or ${otherwise}.`
    throw new RedstreamError(errorCode, message, { cause: error })
  })
  const file = (await readdir(folder)).find((name) => /\.(zip|jar)$/.test(name))
  if (code !== 0 || file === undefined) {
    const message = `Maven could not download ${artifact} (exit code ${code}). Check the network and Maven's settings, or ${otherwise}. It says: ${reasonOf(output)}`
    throw new RedstreamError(errorCode, message)
  }
  return path.join(folder, file)
}

/** The line of Maven's output that names the error: its first one, advice and links follow. */
export function reasonOf(output: string): string {
  const lines = stripVTControlCharacters(output).split('\n')
  return lines.find((line) => /^\[ERROR\] \S/.test(line)) ?? output.trim()
}

/** Runs a program to its end; it ends with this program at the latest. */
export function runToEnd(
  file: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const output: Buffer[] = []
    const endWithUs = (): boolean => child.kill()
    process.once('exit', endWithUs)
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
    child.once('error', (error) => {
      process.off('exit', endWithUs)
      reject(error)
    })
    child.once('close', (code) => {
      process.off('exit', endWithUs)
      resolve({ code: code ?? -1, output: Buffer.concat(output).toString() })
    })
  })
}
