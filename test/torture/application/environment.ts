/** A variable that the torture sets for its processes. */
export function fromTorture(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '')
    throw new Error(`${name} is not set: only the torture starts this file`)
  return value
}
