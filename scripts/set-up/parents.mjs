import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * Tells whether the program that started this one is gone. Its number is not asked for: a dead parent whose own
 * parent has not noticed is still listed. What changes at once is whose child this process is.
 *
 * npm starts a script through `sh -c`, and that shell outlives a killed npm; so below npm its parent is watched too.
 *
 * @returns {() => boolean}
 */
export function watchParent() {
  const parent = process.ppid
  const shell = isBelowNpm() ? describe(parent) : undefined
  const npm = shell !== undefined && /^-?(?:ba|da|z|k|a)?sh$/.test(shell.name) ? shell.parent : undefined
  return () => process.ppid !== parent || (npm !== undefined && describe(parent)?.parent !== npm)
}

/** Whether npm, or one of its likes, runs this as a script. */
export function isBelowNpm() {
  return process.env.npm_lifecycle_event !== undefined
}

/** @returns {{ parent: number, name: string } | undefined} undefined when there is no such process */
function describe(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const end = stat.lastIndexOf(')')
      return {
        parent: Number(stat.slice(end + 2).split(' ')[1]),
        name: stat.slice(stat.indexOf('(') + 1, end),
      }
    }
    const [parent, command] = execFileSync('ps', ['-o', 'ppid=,comm=', '-p', String(pid)])
      .toString()
      .trim()
      .split(/\s+/)
    return { parent: Number(parent), name: command.split('/').at(-1) }
  } catch {
    return undefined
  }
}
