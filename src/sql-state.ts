import { isRedstreamError } from './errors.ts'

/**
 * What the database said in an error of its driver, of TypeORM, or in the cause of one of ours, as the five characters of
 * SQLSTATE; undefined when it did not answer. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function sqlStateOf(error: unknown): string | undefined {
  const told = isRedstreamError(error) ? error.cause : error
  const { driverError = told } = (told ?? {}) as { driverError?: unknown }
  const { sqlState, code } = (driverError ?? {}) as { sqlState?: unknown; code?: unknown }
  const state = sqlState ?? code
  // Codes of the operating system, such as EPIPE, have no digit.
  return typeof state === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(state) ? state : undefined
}
