import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const HEARTBEAT_MS = 2000
/** A lock without a heartbeat for so long belongs to a dead process whose number another one has now. */
const STALE_MS = 300_000
/** Breaking a lock takes a moment; whoever holds the right to do so for longer has died in it. */
const BREAKING_STALE_MS = 5000

/**
 * Runs `action` while no other process of this checkout does, and waits for that. The lock of a process that is dead
 * is broken, but not before the programs are dead too that it told `action`'s argument about: a killed set-up may
 * leave its npm behind, still at work.
 *
 * @template T
 * @param {string} file
 * @param {(alsoHeldBy: (pid: number) => void) => Promise<T>} action
 * @param {(line: string) => void} progress is told when there is something to wait for
 * @returns {Promise<T>}
 */
export async function withLock(file, action, progress) {
  mkdirSync(path.dirname(file), { recursive: true })
  for (let attempt = 0; !tryCreate(file); attempt++) {
    if (attempt === 1) progress('waiting for another set-up of this checkout')
    if (!breakIfDead(file)) await pause(200)
  }
  const heartbeat = setInterval(() => touch(file), HEARTBEAT_MS)
  try {
    return await action((pid) => appendFileSync(file, `${pid}\n`))
  } finally {
    clearInterval(heartbeat)
    rmSync(file, { force: true })
  }
}

/** @returns {boolean} whether the file was made now, by us */
function tryCreate(file) {
  try {
    writeFileSync(file, `${process.pid}\n`, { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    return false
  }
}

/**
 * Removes the lock of a dead process. Only one process at a time may do so: between one's look and one's removal
 * another one could have broken it and made a new lock, which would then be removed.
 */
function breakIfDead(file) {
  if (!isDead(file)) return false
  const right = `${file}.break`
  if (!tryCreate(right)) {
    if (ageOf(right) > BREAKING_STALE_MS) rmSync(right, { force: true })
    return false
  }
  try {
    if (isDead(file)) rmSync(file, { force: true })
    return true
  } finally {
    rmSync(right, { force: true })
  }
}

function isDead(file) {
  const age = ageOf(file)
  let pids
  try {
    pids = readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number)
  } catch {
    return false // It is gone: the next attempt to create it will show.
  }
  // Its maker writes the number right after it has made the file.
  if (pids.length === 0) return age > BREAKING_STALE_MS
  return age > STALE_MS || !pids.some(isRunning)
}

function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function ageOf(file) {
  try {
    return Date.now() - statSync(file).mtimeMs
  } catch {
    return 0
  }
}

function touch(file) {
  try {
    utimesSync(file, new Date(), new Date())
  } catch {
    // Somebody took it for dead, for example after this process was suspended; there is nothing to keep up.
  }
}
