import { captureModes, type CaptureMode } from '../../../src/capture/modes.ts'

/** A variable that the torture sets for its processes. */
export function fromTorture(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '')
    throw new Error(`${name} is not set: only the torture starts this file`)
  return value
}

/** Who tells which rows have changed. */
export function captureFromTorture(): CaptureMode {
  const name = fromTorture('TORTURE_CAPTURE')
  const mode = captureModes.find((candidate) => candidate === name)
  if (mode === undefined) throw new Error(`there is no capture "${name}"`)
  return mode
}
