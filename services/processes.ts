import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

/** One running process. Zombies are not listed: nothing of them runs any more. */
export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
}

/** The processes of the machine: from /proc on Linux (`ps` is missing in small images), else from `ps`. */
export function processTable(): ProcessEntry[] {
  return process.platform === 'linux' ? fromProc() : parsePs(execFileSync('ps', psArguments).toString())
}

const psArguments = ['-A', '-o', 'pid=,ppid=,stat=']

function fromProc(): ProcessEntry[] {
  const entries: ProcessEntry[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const entry = parseProcStat(readFileSync(`/proc/${name}/stat`, 'utf8'))
      if (entry !== undefined) entries.push(entry)
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return entries
}

/**
 * Reads `/proc/PID/stat`. The name stands in parentheses and may itself hold spaces and parentheses. A killed program
 * with many threads is shown as a zombie as soon as its first thread has ended: while there are others, it still holds
 * its memory and its ports.
 */
export function parseProcStat(stat: string): ProcessEntry | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, parent, threads] = [fields[0], Number(fields[1]), Number(fields[17])]
  const gone = state === 'X' || (state === 'Z' && threads <= 1)
  return gone ? undefined : { pid: Number.parseInt(stat, 10), parent }
}

/** Reads the output of `ps -A -o pid=,ppid=,stat=`. */
export function parsePs(output: string): ProcessEntry[] {
  return output
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns.length === 3 && !columns[2]?.startsWith('Z'))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))
}

/** `root` and everything it started, directly or not. */
export function processTree(root: number, table: readonly ProcessEntry[]): number[] {
  const tree = new Set([root])
  // A set hands out what is added while it is walked: breadth first.
  for (const pid of tree) {
    for (const entry of table) if (entry.parent === pid) tree.add(entry.pid)
  }
  return [...tree]
}

/** Waits until none of `pids` runs. Returns those that still do after `timeoutMs`. */
export async function waitUntilGone(pids: readonly number[], timeoutMs: number): Promise<number[]> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const running = new Set(processTable().map((entry) => entry.pid))
    const left = pids.filter((pid) => running.has(pid))
    if (left.length === 0 || Date.now() >= deadline) return left
    await pause(20)
  }
}

/** Sends a signal to a process (a negative pid: to its group) that may be gone already. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
