import { createHash } from 'node:crypto'

import { RedstreamError } from '../errors.ts'
import { canonicalJson } from './canonical-json.ts'

/** What the name of a physical index says. */
export interface PhysicalName {
  /** The alias that applications search. */
  alias: string
  /** When the index was made, to the second. */
  createdAt: Date
  /** First 8 hex digits of {@link definitionHash}. */
  hash: string
}

const writeSuffix = '.write'
const physicalPattern = /^(.+)-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-([0-9a-f]{8})$/

// Elasticsearch allows 255 bytes; "-yyyymmddHHMMSS-xxxxxxxx" and ".write" are put behind the alias.
const maxAliasBytes = 255 - '-yyyymmddHHMMSS-xxxxxxxx'.length - writeSuffix.length

/**
 * Why Elasticsearch would refuse the name, or undefined. The rules are those of its create index API; capital letters
 * would be legal in an alias, but the physical index starts with it.
 */
export function indexNameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (name === '.' || name === '..') return 'it is "." or ".."'
  if (name !== name.toLowerCase()) return 'it has capital letters'
  const illegal = /[\\/*?"<>| ,#:]/.exec(name)
  if (illegal) return `it contains "${illegal[0]}"`
  if (/^[-_+]/.test(name)) return `it starts with "${name[0]}"`
  if (Buffer.byteLength(name) > maxAliasBytes) return `it is longer than ${maxAliasBytes} bytes`
  return undefined
}

/** A legal name near to the given one. */
export function proposeIndexName(name: string): string {
  const words = name.replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, '$1_$2').toLowerCase()
  let proposal = words.replaceAll(/[\\/*?"<>| ,#:]+/g, '_').replace(/^[-_+.]+/, '')
  while (Buffer.byteLength(proposal) > maxAliasBytes) proposal = proposal.slice(0, -1)
  // A cut through a surrogate pair leaves half of it behind, and Elasticsearch reads that as "?".
  return proposal.replace(/[\uD800-\uDBFF]$/, '') || 'documents'
}

/** @throws RedstreamError ENTITY when Elasticsearch would refuse the name; proposes another one. */
export function checkIndexName(name: string, entityName: string): void {
  const problem = indexNameProblem(name)
  if (problem === undefined) return
  throw new RedstreamError(
    'ENTITY',
    `Entity ${entityName}: "${name}" cannot be the name of an index: ${problem}. ` +
      `Name it in @Indexed, for example { index: '${proposeIndexName(name)}' }.`,
  )
}

/** Fingerprint of what an index was declared to be: SHA-256 in hex. */
export function definitionHash(mappings: object, settings: object): string {
  return createHash('sha256').update(canonicalJson({ mappings, settings })).digest('hex')
}

/** `<alias>-<UTC yyyymmddHHMMSS>-<8 hex digits>`: sorts by age and shows which definition it was made from. */
export function physicalIndexName(alias: string, createdAt: Date, hash: string): string {
  const stamp = createdAt.toISOString().slice(0, 19).replaceAll(/\D/g, '')
  return `${alias}-${stamp}-${hash.slice(0, 8)}`
}

/**
 * The alias that the workers write through, one per physical index. With `require_alias` a late write to an index that
 * was dropped fails, where the index's own name would create it anew.
 */
export function writeAliasOf(physical: string): string {
  return physical + writeSuffix
}

/** The parts of a {@link physicalIndexName}, or undefined when the name was made by somebody else. */
export function parsePhysicalName(name: string): PhysicalName | undefined {
  const match = physicalPattern.exec(name)
  if (!match) return undefined
  const [alias = '', year, month, day, hour, minute, second, hash = ''] = match.slice(1)
  const createdAt = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(createdAt.getTime()) || physicalIndexName(alias, createdAt, hash) !== name)
    return undefined
  return { alias, createdAt, hash }
}
