import type { DataSource } from 'typeorm'

/** How many connections the pool of a DataSource may have at most; undefined where its driver (other than pg) does not say. */
export function poolSizeOf({ driver }: DataSource): number | undefined {
  return (driver as { master?: { options?: { max?: number } } }).master?.options?.max
}
