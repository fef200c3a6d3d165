import { crc32 } from 'node:zlib'

/** PostgreSQL's names have 63 bytes; those of slots no other letters than these. */
const longestName = 63

/** The names of what the mode `wal` has in the database. */
export interface LogNames {
  /** Of a database. */
  readonly publication: string
  /** Of the whole server, so it tells the database. */
  readonly slot: string
}

/** @param captureSchema - the setting; it keeps several Redstreams on one database apart */
export function logNames(captureSchema: string, database: string): LogNames {
  const plain = database.toLowerCase().replace(/[^a-z0-9_]/g, '_')
  const name = `${captureSchema}_${plain}`
  if (plain === database && name.length <= longestName) return { publication: captureSchema, slot: name }
  // What two databases lose in such a name may be all that tells them apart.
  const sum = crc32(database).toString(16).padStart(8, '0')
  return { publication: captureSchema, slot: `${name.slice(0, longestName - 9)}_${sum}` }
}
