import { redstream } from '../command-line.ts'
import { until, type Stage } from '../stage.ts'

const commands = [
  ['consumer'],
  ['consumer'],
  // Five minutes by default; nobody wants to watch a demo for so long.
  ['delayer', '--delay', '3s'],
  ['trimmer'],
]

/** Starts the workers, and waits until `redstream status` knows them all. */
export async function startWorkers(stage: Stage): Promise<void> {
  const { screen, workers, signal } = stage
  screen.step(
    'Workers',
    'Processes of the command line: consumers read what changed and write the documents, any number of them share ' +
      'the work; the delayer repeats what a crashed process left behind; the trimmer removes what everybody is done with.',
  )
  for (const command of commands) await workers.start(...command)
  await until(stage, 'the workers report to Redis', async () => {
    const { workers: alive } = JSON.parse(await redstream(['status', '--json'], signal)) as {
      workers: { pid: number }[]
    }
    return workers.processes.every(({ pid }) => alive.some((worker) => worker.pid === pid)) || undefined
  })
  screen.table(
    ['process', 'command'],
    workers.processes.map(({ command, pid }) => [String(pid), `redstream ${command}`]),
  )
}
