/** Reads `+PID` and `-PID` from its input, and kills those that are left when the input ends. */
import { createInterface } from 'node:readline'

import { signalProcess } from '../../../services/processes.ts'

const watched = new Set<number>()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

for await (const line of createInterface({ input: process.stdin })) {
  const pid = Number(line.slice(1))
  if (line.startsWith('+')) watched.add(pid)
  else watched.delete(pid)
}
for (const pid of watched) signalProcess(pid, 'SIGKILL')
