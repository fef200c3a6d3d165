/** A position in the log of PostgreSQL, in bytes. A JavaScript number would not hold it. */
export type Lsn = bigint

/** @param text - as PostgreSQL writes it: two hexadecimal numbers of 32 bits, `16/B374D848` */
export function parseLsn(text: string): Lsn {
  const [high = '0', low = '0'] = text.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

/** The text of a position; the reverse of {@link parseLsn}. */
export function formatLsn(lsn: Lsn): string {
  const half = (value: bigint): string => BigInt.asUintN(32, value).toString(16).toUpperCase()
  return `${half(lsn >> 32n)}/${half(lsn)}`
}

/** The later of two positions. */
export function laterLsn(one: Lsn, other: Lsn): Lsn {
  return one > other ? one : other
}
