import { RedstreamError, isRedstreamError } from '../errors.ts'

/**
 * Turns an error of ioredis into one that names the server and the setting. Decided by the error code that Redis puts
 * first in its replies (`WRONGPASS`, `OOM`, …), see the Redis protocol specification, "Simple errors".
 */
export function describeRedisError(error: unknown, address: string): RedstreamError {
  if (isRedstreamError(error)) return error
  hideArguments(error)
  const reason = lastNodeError(error) ?? error
  const where = `Redis at ${address}`
  const setting = 'set REDIS_URL or `redis` in the configuration'
  const code = replyCode(reason)
  const as = (kind: 'REDIS' | 'REDIS_UNAVAILABLE', message: string): RedstreamError =>
    new RedstreamError(kind, message, { cause: error })
  switch (code) {
    case undefined:
      return as('REDIS_UNAVAILABLE', `${where} does not answer: ${reasonOf(reason)}; ${setting}`)
    case 'WRONGPASS':
    case 'NOAUTH':
      return as('REDIS', `${where} refused the user or password (${code}); ${setting}`)
    case 'NOPERM':
      return as('REDIS', `${where}: the ACL user may not do this: ${messageOf(reason)}`)
    case 'OOM':
      return as(
        'REDIS_UNAVAILABLE',
        `${where} is full (maxmemory reached) and takes no messages until it has room again`,
      )
    case 'READONLY':
    case 'LOADING':
    case 'MASTERDOWN':
    case 'CLUSTERDOWN':
    case 'TRYAGAIN':
      return as('REDIS_UNAVAILABLE', `${where} takes no writes at the moment (${code})`)
    default:
      return as('REDIS', `${where} refused a command: ${messageOf(reason)}`)
  }
}

/** The code that a reply of Redis begins with, or undefined when the error did not come from Redis. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined
  // Before Redis 7 an error inside a script is wrapped: "ERR Error running script (…): @user_script:17: -OOM …".
  const inScript = /^ERR Error running script .*?@user_script: ?\d+: -?([A-Z]{2,}) /.exec(error.message)
  return inScript?.[1] ?? /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR'
}

/**
 * Takes the arguments of the command out of an error of ioredis, which keeps them all: a password, when it was AUTH, or
 * the rows of the user, and errors are logged.
 */
export function hideArguments(error: unknown): void {
  if (!(error instanceof Error)) return
  const known: Error & { command?: { name: string } } = error
  if (known.command !== undefined) known.command = { name: known.command.name }
  hideArguments(lastNodeError(error))
}

/** True when ioredis only says that it gave up; why, it said when the connection failed. It has no codes for these. */
export function isGivenUp(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'MaxRetriesPerRequestError' || error.message === 'Command timed out')
  )
}

/** Of a cluster of which no node could be asked: what the last one said. */
function lastNodeError(error: unknown): unknown {
  return (error as { lastNodeError?: unknown } | null | undefined)?.lastNodeError ?? undefined
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  // Redis repeats what it was sent when it does not know a command, as some proxies do not know AUTH.
  return message.replace(/, with args beginning with:.*$/s, '')
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : messageOf(error).replace(/\.$/, '')
}
