import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { isRedstreamError } from '../../src/errors.ts'
import type { SettingsInput } from '../../src/runtime/config-schema.ts'
import { formatValue, parseValue } from '../../src/runtime/option-values.ts'
import { options, type Option } from '../../src/runtime/options.ts'
import { resolveSettings, settingsFrom, type Settings } from '../../src/runtime/settings.ts'

const table: Record<keyof Settings, Option> = options
const rows = Object.entries(table) as [keyof Settings, Option][]

const defaults = Object.fromEntries(rows.map(([name, option]) => [name, option.default]))

function problemOf(work: () => unknown): { code: string; message: string } {
  try {
    work()
  } catch (error) {
    if (isRedstreamError(error)) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('nothing was thrown')
}

const inFile = (settings: unknown) => ({
  name: 'config/redstream.ts',
  settings,
  otherKeys: ['dataSource', 'redis', 'elasticsearch'],
})

/** A value that an option allows. */
function allowed(option: Option): fc.Arbitrary<string | number> {
  if (option.kind === 'choice') return fc.constantFrom(...option.choices)
  // Not empty, which counts as not given in the environment.
  if (option.kind === 'text') return fc.stringMatching(option.pattern).filter((text) => text !== '')
  return fc.integer({ min: option.min, max: option.max })
}

/** The file's object that holds one setting. */
function fileWith(name: keyof Settings, value: string | number): unknown {
  const [key, inner] = table[name].key.split('.')
  return { [key!]: inner === undefined ? value : { [inner]: value } }
}

describe('the table of options', () => {
  it('has a flag exactly for what a command reads, and no name twice', () => {
    for (const [, option] of rows) {
      expect([option.key, option.flag !== undefined]).toEqual([
        option.key,
        option.usedBy.some((reader) => reader !== 'application'),
      ])
    }
    for (const names of [rows.map(([, { key }]) => key), rows.map(([, { env }]) => env)]) {
      expect(new Set(names).size).toBe(rows.length)
    }
  })

  it('has defaults that it allows itself', () => {
    for (const [, option] of rows)
      expect(parseValue(option, option.default)).toEqual({ value: option.default })
  })

  it('reads back every value that it shows', () => {
    for (const [, option] of rows) {
      fc.assert(
        fc.property(allowed(option), (value) => {
          expect(parseValue(option, formatValue(option, value))).toEqual({ value })
        }),
      )
    }
  })
})

describe('reading a value', () => {
  it.each([
    [300, 300],
    ['300', 300],
    ['5m', 300_000],
    ['1.5h', 5_400_000],
    ['30 seconds', 30_000],
  ])('takes %j as a duration', (raw, value) => {
    expect(parseValue(options.delayMs, raw)).toEqual({ value })
  })

  it.each([
    [1_048_576, 1_048_576],
    ['1048576', 1_048_576],
    ['8mb', 8_388_608],
    ['1.5 MB', 1_572_864],
    ['64KB', 65_536],
  ])('takes %j as a size', (raw, value) => {
    expect(parseValue(options.bulkBytes, raw)).toEqual({ value })
  })

  it.each(['', '5x', '-5m', 'm5', 0, 1.5, Number.NaN, null, {}, [], true, '5'.repeat(200)])(
    'refuses %j as a duration',
    (raw) => {
      expect(parseValue(options.delayMs, raw)).toHaveProperty('allowed')
    },
  )

  it('never throws and never leaves the range', () => {
    for (const [, option] of rows) {
      fc.assert(
        fc.property(fc.anything(), (raw) => {
          const parsed = parseValue(option, raw)
          if (!('value' in parsed) || !('min' in option)) return
          if ('zero' in option && Number(parsed.value) === 0) return
          expect(Number(parsed.value)).toBeGreaterThanOrEqual(option.min)
          expect(Number(parsed.value)).toBeLessThanOrEqual(option.max)
        }),
      )
    }
  })
})

describe('resolveSettings', () => {
  it('gives the defaults when nothing is said', () => {
    const { settings, origins } = resolveSettings({})
    expect(settings).toEqual(defaults)
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']))
  })

  it('takes the flag, else the file, else the environment, else the default', () => {
    const cases = fc.constantFrom(...rows).chain(([name, option]) =>
      fc.record({
        name: fc.constant(name),
        flag:
          option.flag === undefined ? fc.constant(undefined) : fc.option(allowed(option), { nil: undefined }),
        file: fc.option(allowed(option), { nil: undefined }),
        variable: fc.option(allowed(option), { nil: undefined }),
      }),
    )
    fc.assert(
      fc.property(cases, ({ name, flag, file, variable }) => {
        const { settings, origins } = resolveSettings({
          flags: { [name]: flag === undefined ? undefined : String(flag) },
          file: inFile(file === undefined ? {} : fileWith(name, file)),
          env: { [table[name].env]: variable === undefined ? undefined : String(variable) },
        })
        const expected = flag ?? file ?? variable ?? table[name].default
        const origin =
          flag !== undefined
            ? 'flag'
            : file !== undefined
              ? 'file'
              : variable !== undefined
                ? 'environment'
                : 'default'
        expect(settings).toEqual({ ...defaults, [name]: expected })
        expect(origins[name]).toBe(origin)
      }),
    )
  })

  it('takes an empty variable and an undefined key as not given', () => {
    const { settings } = resolveSettings({
      file: inFile({ delay: undefined, batchSize: undefined }),
      env: { REDSTREAM_DELAY: '' },
    })
    expect(settings).toEqual(defaults)
  })

  it('takes delay in its short and its long form', () => {
    expect(resolveSettings({ file: inFile({ delay: '1h' }) }).settings).toMatchObject({ delayMs: 3_600_000 })
    expect(
      resolveSettings({ file: inFile({ delay: { after: 1_000, requeue: 'always' } }) }).settings,
    ).toMatchObject({ delayMs: 1_000, requeue: 'always' })
    expect(resolveSettings({ file: inFile({ delay: { requeue: 'always' } }) }).settings).toMatchObject({
      delayMs: 300_000,
      requeue: 'always',
    })
  })

  it.each([
    [{ dealy: '5m' }, 'unknown key "dealy" in config/redstream.ts: did you mean "delay"?'],
    [{ delayMs: 5 }, 'unknown key "delayMs" in config/redstream.ts: did you mean "delay"?'],
    [{ batchsize: 5 }, 'unknown key "batchsize" in config/redstream.ts: did you mean "batchSize"?'],
    [{ rediss: '' }, 'unknown key "rediss" in config/redstream.ts: did you mean "redis"?'],
    [{ requeue: 'always' }, 'unknown key "requeue" in config/redstream.ts: did you mean "delay.requeue"?'],
    [{ delay: { afer: 1 } }, 'unknown key "delay.afer" in config/redstream.ts: did you mean "delay.after"?'],
    [
      { xyz: 1 },
      'unknown key "xyz" in config/redstream.ts: known are dataSource, redis, elasticsearch, namespace,',
    ],
    [
      { delay: '5x' },
      'delay "5x" in config/redstream.ts is not allowed: it takes a number of milliseconds or',
    ],
    [{ delay: { after: 0 } }, 'delay.after 0 in config/redstream.ts is not allowed'],
    [
      { delay: { requeue: 'never' } },
      'delay.requeue "never" in config/redstream.ts is not allowed: it takes "orphaned"',
    ],
    [
      { batchSize: 0 },
      'batchSize 0 in config/redstream.ts is not allowed: it takes a whole number from 1 to 10000',
    ],
    [
      { uncaptured: { a: 1 } },
      'uncaptured an object in config/redstream.ts is not allowed: it takes "warn" or',
    ],
    [
      { namespace: 'a{b}' },
      'namespace "a{b}" in config/redstream.ts is not allowed: it takes up to 100 characters',
    ],
  ])('says what is wrong with %j', (settings, message) => {
    const problem = problemOf(() => resolveSettings({ file: inFile(settings) }))
    expect(problem.code).toBe('CONFIG')
    expect(problem.message).toContain(message)
  })

  it('names every problem of the file at once', () => {
    const { message } = problemOf(() => resolveSettings({ file: inFile({ dealy: 1, batchSize: 0 }) }))
    expect(message.split('\n')).toHaveLength(2)
  })

  it('names the variable and the flag that a wrong value came from', () => {
    expect(problemOf(() => resolveSettings({ env: { REDSTREAM_BATCH_SIZE: 'many' } }))).toEqual({
      code: 'CONFIG',
      message:
        'REDSTREAM_BATCH_SIZE="many" in the environment is not allowed: it takes a whole number from 1 to 10000',
    })
    expect(problemOf(() => resolveSettings({ flags: { batchSize: '0' } }))).toEqual({
      code: 'USAGE',
      message: '--batch-size "0" is not allowed: it takes a whole number from 1 to 10000',
    })
  })
})

describe('settingsFrom', () => {
  it('takes the keys of the file from an options object, and the environment', () => {
    const input: SettingsInput = { delay: '10s', onUnavailable: 'accept' }
    expect(settingsFrom(input, { REDSTREAM_NAMESPACE: 'shop' })).toEqual({
      ...defaults,
      delayMs: 10_000,
      onUnavailable: 'accept',
      namespace: 'shop',
    })
  })

  it('says where a wrong key was given', () => {
    const { message } = problemOf(() => settingsFrom({ retension: 1 } as SettingsInput, {}))
    expect(message).toBe(
      'unknown key "retension" in the options of Redstream.attach: did you mean "retention"?',
    )
  })
})
