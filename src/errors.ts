/**
 * The catalogue of errors that Redstream throws. Every one carries a {@link ErrorCode}, says what happened,
 * to whom, and what to do; secrets (passwords, full URLs) never appear in a message.
 */
export const errorCodes = {
  CONFIG: 'The configuration is missing, unreadable or has wrong values. Exit code 2.',
  USAGE: 'The command line or a method was used wrongly. Exit code 2.',
  ENTITY: 'An entity is not indexed, not part of the DataSource, or its definition cannot work. Exit code 2.',
  REDIS_UNAVAILABLE:
    'Redis did not accept a message in time. With onUnavailable "reject" the transaction is rolled back.',
  REDIS: 'Redis refused the connection or a command (authentication, permissions, wrong type, read-only).',
  ELASTICSEARCH_UNAVAILABLE: 'Elasticsearch cannot be reached.',
  ELASTICSEARCH: 'Elasticsearch refused a request (authentication, mapping, alias).',
  DATABASE: 'The database cannot be reached or refused a statement.',
  INDEX: 'An index, alias or mapping is not in the state that Redstream needs.',
  HTTP: 'The address for health and metrics cannot be used: it is taken, or not of this machine.',
  TIMEOUT: 'Something that was waited for did not happen in time.',
} as const satisfies Record<string, string>

/** One of the codes of {@link errorCodes}. */
export type ErrorCode = keyof typeof errorCodes

/** The base class of every error that Redstream throws itself. `cause` holds the error of the library below, if any. */
export class RedstreamError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'RedstreamError'
    this.code = code
  }
}

/** True for {@link RedstreamError}s, also for those of a second copy of the package. */
export function isRedstreamError(error: unknown): error is RedstreamError {
  return error instanceof Error && error.name === 'RedstreamError' && 'code' in error
}
