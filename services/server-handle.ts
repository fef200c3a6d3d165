import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import ms from 'ms'

import { RedstreamError, type ErrorCode } from '../src/errors.ts'
import type { ServerCommand } from './guard-protocol.ts'
import type { Guard } from './guarded.ts'
import { freePort } from './ports.ts'

/** A running server of one's own, in its own data folder. */
export interface ServerHandle {
  /** With the password, if there is one. The same after `restart`. */
  readonly url: string
  readonly port: number
  /** The leader of the server's process group; another one after `restart`. */
  readonly pid: number
  /** The folder of the server's data and of its log. */
  readonly dataDir: string
  readonly logFile: string
  /** Ends the server for good and removes its data. May be called again. */
  stop(): Promise<void>
  /** Ends it with SIGKILL, all of its processes, and keeps its data. */
  kill(): Promise<void>
  /** Starts it again with the same data on the same port; a server that still runs is ended in order first. */
  restart(): Promise<void>
}

/** What the servers differ in. */
export interface ServerDefinition {
  readonly name: 'PostgreSQL' | 'MariaDB' | 'Redis' | 'Elasticsearch'
  readonly errorCode: ErrorCode
  readonly guard: Guard
  readonly command: (port: number) => ServerCommand
  readonly url: (port: number) => string
  /** Rejects while the server does not answer, or when somebody else answers. */
  readonly probe: (url: string, pid: number) => Promise<void>
  /** What its log says when its port is taken. */
  readonly portTaken: RegExp
  /** What its log says when it cannot have the process id that it was given; the next one will do. */
  readonly pidTaken?: RegExp
  /** The signal on which it writes its data and goes. */
  readonly stopSignal: NodeJS.Signals
  readonly readyWithinMs: number
}

const ATTEMPTS = 5

/** Starts a server on a free port and waits until it answers; on failure its folder is removed. */
export async function startServer(definition: ServerDefinition): Promise<ServerHandle> {
  const { guard, command, url } = definition
  try {
    const port = await startOnFreePort(definition)
    return {
      url: url(port),
      port,
      dataDir: guard.folder,
      logFile: logFileOf(guard),
      get pid() {
        return guard.serverPid ?? 0
      },
      stop: () => guard.close(),
      kill: () => guard.end('SIGKILL'),
      restart: async () => {
        await guard.end(definition.stopSignal)
        await startAndWait(definition, port, command(port))
      },
    }
  } catch (error) {
    await guard.close()
    throw error
  }
}

async function startOnFreePort(definition: ServerDefinition): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    try {
      await startAndWait(definition, port, definition.command(port))
      return port
    } catch (error) {
      // Somebody took the port between the look and the start.
      if (!(error instanceof PortTakenError) || attempt === ATTEMPTS) throw error
    }
  }
}

class PortTakenError extends RedstreamError {}

async function startAndWait(
  definition: ServerDefinition,
  port: number,
  command: ServerCommand,
  attempt = 1,
): Promise<void> {
  const { guard, name, errorCode, probe, readyWithinMs } = definition
  const url = definition.url(port)
  const logStart = (await stat(logFileOf(guard))).size
  const pid = await guard.start(command)
  const deadline = Date.now() + readyWithinMs
  for (;;) {
    try {
      await probe(url, pid)
      if (guard.serverExit === undefined) return
    } catch {
      // Not yet; why is in its log.
    }
    if (guard.serverExit !== undefined) {
      const log = await logSince(guard, logStart)
      if (definition.portTaken.test(log)) {
        const message = `${name} cannot start: port ${port} is taken by another program. Find it with "lsof -i :${port}", end it and try again.`
        throw new PortTakenError(errorCode, message)
      }
      if (attempt < ATTEMPTS && definition.pidTaken?.test(log))
        return startAndWait(definition, port, command, attempt + 1)
      const { code, signal } = guard.serverExit
      const how = signal === null ? `with exit code ${code}` : `by ${signal}`
      throw new RedstreamError(errorCode, `${name} ended ${how} while starting. ${lastLines(log)}`)
    }
    if (Date.now() > deadline) {
      const log = await logSince(guard, logStart)
      await guard.end('SIGKILL')
      const message = `${name} did not answer within ${ms(readyWithinMs)}: the machine may be too busy or too small. ${lastLines(log)}`
      throw new RedstreamError('TIMEOUT', message)
    }
    await pause(50)
  }
}

function logFileOf(guard: Guard): string {
  return path.join(guard.folder, 'server.log')
}

async function logSince(guard: Guard, offset: number): Promise<string> {
  return (await readFile(logFileOf(guard))).subarray(offset).toString()
}

/** The end of a log, as the last part of an error message. The frames of Java's stack traces would hide the reason. */
export function lastLines(log: string, count = 10): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '' && !/^\s+at /.test(line))
  if (lines.length === 0) return 'Its log is empty.'
  return `The last lines of its log:\n  ${lines.slice(-count).join('\n  ')}`
}
