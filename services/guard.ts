/**
 * The guard of one server: a small process between the program that asked for the server and the server.
 *
 * It owns the server's process group and its data folder. Whatever ends the program, SIGKILL included, the kernel
 * closes the channel between them; then the guard ends the server with all that it started, removes the folder and
 * goes. It runs in a session of its own, so the Ctrl-C of a terminal reaches only the program.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { chownSync, mkdtempSync, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import path from 'node:path'

import type { GuardMessage, GuardOptions, GuardRequest, RunResult, ServerCommand } from './guard-protocol.ts'
import { processTable, processTree, signalProcess, waitUntilGone } from './processes.ts'

const GRACE_MS = 10_000
/** How long those may take that are still there when the server itself is gone. */
const STRAGGLER_MS = 1000

const options = JSON.parse(process.argv[2] ?? '{}') as GuardOptions
const folder = mkdtempSync(options.folderPrefix)
if (options.owner !== undefined) chownSync(folder, options.owner.uid, options.owner.gid)
const log = openSync(path.join(folder, 'server.log'), 'a')

let server: ChildProcess | undefined
/** Resolves when the program has been told that the server has ended. */
let exitTold = Promise.resolve()
let running: ChildProcess | undefined
let closing = false

process.on('disconnect', () => void close())
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void close())
process.on('message', (request: GuardRequest) => void answer(request))
tell({ event: 'ready', folder })

async function answer(request: GuardRequest): Promise<void> {
  try {
    tell({ event: 'done', id: request.id, value: await perform(request) })
  } catch (error) {
    tell({ event: 'failed', id: request.id, message: error instanceof Error ? error.message : String(error) })
  }
}

function perform(request: GuardRequest): Promise<unknown> {
  if (request.task === 'close') return close()
  if (closing) throw new Error('the server is being stopped')
  if (request.task === 'run') return run(request.command, request.input)
  if (request.task === 'start') return start(request.command)
  return end(request.signal, request.graceMs)
}

function spawnOptions(command: ServerCommand): SpawnOptions {
  return {
    cwd: folder,
    env: command.env,
    detached: true,
    argv0: command.argv0 ?? command.file,
    ...options.owner,
  }
}

async function run(command: ServerCommand, input = ''): Promise<RunResult> {
  const child = spawn(command.file, command.args, { ...spawnOptions(command), stdio: 'pipe' })
  running = child
  const output: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => output.push(chunk))
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => resolve(exitCode ?? -1))
  })
  return { code, output: Buffer.concat(output).toString() }
}

async function start(command: ServerCommand): Promise<number> {
  const child = spawn(command.file, command.args, { ...spawnOptions(command), stdio: ['ignore', log, log] })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  server = child
  exitTold = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      if (server === child) server = undefined
      tell({ event: 'exited', code, signal })
      resolve()
    })
  })
  if (child.pid === undefined) throw new Error(`${command.file} has no pid`)
  return child.pid
}

async function end(signal: NodeJS.Signals, graceMs: number): Promise<void> {
  const pid = server?.pid
  if (pid === undefined) return
  await endTree(pid, signal, graceMs)
  // The process table knows it sooner than Node: told later, it would count as the end of the next server.
  await exitTold
}

/**
 * PostgreSQL's backends and a JVM behind its launcher outlive a killed parent for a moment and are not all in its
 * process group, so the tree is read before the signal is sent.
 */
async function endTree(pid: number, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  const tree = processTree(pid, processTable())
  if (signal !== 'SIGKILL') {
    signalProcess(pid, signal)
    await waitUntilGone([pid], graceMs)
    if ((await waitUntilGone(tree, STRAGGLER_MS)).length === 0) return
  }
  signalProcess(-pid, 'SIGKILL')
  for (const member of new Set([...tree, ...processTree(pid, processTable())]))
    signalProcess(member, 'SIGKILL')
  await waitUntilGone(tree, GRACE_MS)
}

async function close(): Promise<void> {
  if (closing) return
  closing = true
  try {
    if (running?.pid !== undefined && running.exitCode === null) await endTree(running.pid, 'SIGKILL', 0)
    await end(options.endSignal, GRACE_MS)
    if (options.cleanup !== undefined) await run(options.cleanup)
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    process.exit(0)
  }
}

function tell(message: GuardMessage): void {
  if (process.connected) process.send?.(message, () => undefined)
}
