import { randomInt } from 'node:crypto'

import getPort from 'get-port'

/**
 * A port that nobody listens on at this moment. It is below the ports that Linux (32768) and macOS (49152) hand out
 * to outgoing connections: a client that keeps trying to reconnect to a killed server could otherwise be given the
 * server's port as its own, and end up connected to itself.
 */
export function freePort(): Promise<number> {
  return getPort({ host: '127.0.0.1', port: Array.from({ length: 20 }, () => randomInt(15_000, 32_000)) })
}
