import type { Mappings } from '../indexed.ts'
import { canonicalJson, isRecord, valueText } from './canonical-json.ts'
import type { FlatSettings } from './index-settings.ts'

/** A declared field that the live index lacks. */
export interface AddedField {
  /** Its path: `country.name`; a multi-field likewise: `name.keyword`. */
  field: string
  type: string
}

/** One parameter of a field, or of the mapping itself, that is not as declared. */
export interface ChangedParameter {
  /** Empty for a parameter of the mapping itself, such as `dynamic`. */
  field: string
  parameter: string
  /** Undefined: not set. */
  live: unknown
  declared: unknown
}

export interface MappingDifference {
  added: AddedField[]
  changed: ChangedParameter[]
}

interface FlatField {
  parameters: Record<string, unknown>
  /** An object keeps the parameters that a later mapping does not name; a leaf goes back to its defaults. */
  isObject: boolean
}

/**
 * What a declared mapping would add to a live one or change in it. Fields that only the live one has (of dynamic
 * mapping, of an earlier version) are left alone, as Elasticsearch leaves them.
 *
 * A difference may be one of notation: Elasticsearch drops parameters that are declared with their default, and adds
 * some that were not declared. Put the declared mapping in place and compare again to know; it changes nothing then.
 */
export function compareMappings(live: Mappings, declared: Mappings): MappingDifference {
  const liveFields = flattenMappings(live)
  const difference: MappingDifference = { added: [], changed: [] }
  const replaced: string[] = []
  for (const [field, wanted] of flattenMappings(declared)) {
    if (replaced.some((path) => field.startsWith(`${path}.`))) continue
    const there = liveFields.get(field)
    if (!there) {
      difference.added.push({ field, type: valueText(wanted.parameters['type']) })
      continue
    }
    const changed = changedParameters(field, there, wanted)
    const type = changed.find((each) => each.parameter === 'type')
    if (type) replaced.push(field)
    difference.changed.push(...(type ? [type] : changed))
  }
  return difference
}

function changedParameters(field: string, live: FlatField, declared: FlatField): ChangedParameter[] {
  const names = Object.keys(declared.parameters)
  if (!declared.isObject) names.push(...Object.keys(live.parameters).filter((name) => !names.includes(name)))
  return names
    .map((parameter) => ({
      field,
      parameter,
      live: live.parameters[parameter],
      declared: declared.parameters[parameter],
    }))
    .filter((each) => canonicalJson(each.live) !== canonicalJson(each.declared))
}

function flattenMappings(mappings: Mappings): Map<string, FlatField> {
  const flat = new Map<string, FlatField>()
  const { properties, ...parameters } = mappings
  flat.set('', { parameters, isObject: true })
  flattenFields(properties, '', flat)
  return flat
}

function flattenFields(fields: unknown, prefix: string, flat: Map<string, FlatField>): void {
  if (!isRecord(fields)) return
  for (const [name, field] of Object.entries(fields)) {
    if (!isRecord(field)) continue
    const { properties, fields: multiFields, ...parameters } = field
    const type = parameters['type'] ?? 'object'
    flat.set(prefix + name, {
      parameters: { ...parameters, type },
      isObject: type === 'object' || type === 'nested',
    })
    flattenFields(properties, `${prefix}${name}.`, flat)
    flattenFields(multiFields, `${prefix}${name}.`, flat)
  }
}

/** A setting that is not as declared. */
export interface ChangedSetting {
  setting: string
  /** Undefined: not set. */
  live: unknown
  declared: unknown
}

/** The declared settings that the live index has otherwise. Those that only the live index has are left alone. */
export function compareSettings(live: FlatSettings, declared: FlatSettings): ChangedSetting[] {
  return Object.entries(declared)
    .map(([setting, value]) => ({ setting, live: live[setting], declared: value }))
    .filter((each) => settingText(each.live) !== settingText(each.declared))
}

// A list of one may be answered as that one.
function settingText(value: unknown): string {
  return canonicalJson(Array.isArray(value) && value.length === 1 ? value[0] : value)
}

/** One line for each difference, for people. */
export function describeDifference(difference: MappingDifference): string[] {
  return [
    ...difference.added.map(({ field, type }) => `field "${field}" added (${type})`),
    ...difference.changed.map(({ field, parameter, live, declared }) => {
      const owner = field === '' ? 'mapping' : `field "${field}"`
      return `${owner}: ${parameter} ${valueText(live)} -> ${valueText(declared)}`
    }),
  ]
}

/** One line for each changed setting, for people. */
export function describeSettings(changed: readonly ChangedSetting[]): string[] {
  return changed.map(
    ({ setting, live, declared }) => `setting ${setting}: ${valueText(live)} -> ${valueText(declared)}`,
  )
}
