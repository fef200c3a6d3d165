import { spawn } from 'node:child_process'

/** An error whose message says all that the user needs: shown without a stack trace. */
export class ExpectedError extends Error {
  isExpected = true
}

/**
 * Runs a program to its end without showing what it prints.
 *
 * @param {string} file
 * @param {string[]} args
 * @param {string} cwd
 * @param {(pid: number) => void} [onStart]
 * @returns {Promise<{ exitCode: number, output: string }>}
 */
export function runQuietly(file, args, cwd, onStart) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    if (child.pid !== undefined) onStart?.(child.pid)
    const end = (signal) => {
      child.kill(signal)
      process.exit(1)
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.once(signal, end)
    const output = []
    child.stdout.on('data', (chunk) => output.push(chunk))
    child.stderr.on('data', (chunk) => output.push(chunk))
    child.once('error', reject)
    child.once('close', (exitCode) => {
      for (const signal of signals) process.off(signal, end)
      resolve({ exitCode: exitCode ?? 1, output: Buffer.concat(output).toString() })
    })
  })
}
