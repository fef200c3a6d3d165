import type { SettingsInput } from '../../../src/runtime/settings.ts'
import { witnesses, settingsOf } from '../witness.ts'

/** Where this process works, and who watches, as the test that started it says. */
export interface Place {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly schema: string
  readonly settings: SettingsInput
}

export function placeFromEnvironment(): Place {
  const schema = fromEnvironment('TEST_SPACE')
  const witness = Object.values(witnesses).find(({ mode }) => mode === fromEnvironment('TEST_CAPTURE'))
  if (witness === undefined) throw new Error('TEST_CAPTURE names no witness')
  return {
    databaseUrl: fromEnvironment('DATABASE_URL'),
    redisUrl: fromEnvironment('REDIS_URL'),
    schema,
    settings: settingsOf(witness, schema),
  }
}

function fromEnvironment(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: only a test starts this file`)
  return value
}
