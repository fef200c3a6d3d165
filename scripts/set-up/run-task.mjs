import { spawn } from 'node:child_process'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { build } from './build.mjs'
import { findNode, install } from './install.mjs'
import { withLock } from './lock.mjs'
import { isBelowNpm, watchParent } from './parents.mjs'
import { tasks, usage } from './tasks.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const LOCK = path.join(root, '.cache', 'set-up.lock')
/** A terminal sends its Ctrl-C to the whole group and npm passes it on as well: they count as one. */
const SAME_SIGNAL_MS = 500
const PARENT_CHECK_MS = 500

/**
 * Sets up what the task needs and runs it.
 *
 * @param {string | undefined} name
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
export async function runTask(name, args) {
  const task = name === undefined ? undefined : tasks[name]
  if (task === undefined) {
    console.error(usage(name))
    return 2
  }
  const parentIsGone = endsWithParent(task, args) ? watchParent() : () => false
  const progress = (line) => console.error(`set-up: ${line}`)
  await withLock(LOCK, (alsoHeldBy) => install(root, progress, alsoHeldBy), progress)
  const node = await findNode(root)
  const bin = path.join(root, 'node_modules', '.bin')
  const env = { ...process.env, PATH: [path.dirname(node), bin, process.env.PATH].join(path.delimiter) }
  if (task.build) await withLock(LOCK, (alsoHeldBy) => build(root, node, progress, alsoHeldBy), progress)
  if (task.file !== undefined) return run(node, [path.join(root, task.file), ...args], env, parentIsGone)
  for (const [command, ...fixed] of task.commands ?? []) {
    const exitCode = await run(path.join(bin, command), [...fixed, ...args], env, parentIsGone)
    if (exitCode !== 0) return exitCode
  }
  return 0
}

/**
 * A killed npm cannot stop its script, so below npm every task ends with it. Otherwise only those do that say so:
 * a task put into the background may outlive its shell.
 */
function endsWithParent(task, args) {
  return (task.endsWithParent || isBelowNpm()) && !args.includes(task.stayFlag)
}

/** Runs a program on this terminal; signals are passed on, and its exit code is returned. */
function run(file, args, env, parentIsGone) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, cwd: root, stdio: 'inherit' })
    const sentAt = {}
    const pass = (signal) => {
      const now = Date.now()
      if (now - (sentAt[signal] ?? 0) > SAME_SIGNAL_MS) child.kill(signal)
      sentAt[signal] = now
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.on(signal, pass)
    const watch = setInterval(() => {
      if (!parentIsGone()) return
      clearInterval(watch)
      pass('SIGTERM')
    }, PARENT_CHECK_MS)
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearInterval(watch)
      for (const name of signals) process.off(name, pass)
      resolve(code ?? 128 + os.constants.signals[signal])
    })
  })
}
