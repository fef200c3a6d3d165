import { startMariadb } from '../../services/services.ts'
import { isRedstreamError } from '../../src/errors.ts'

/**
 * Finds a MariaDB for the tests of other drivers: the address in the environment (`MARIADB_URL`, `MYSQL_URL`: of a user who
 * may create databases), else one of our own. Where there is none, the tests that need it are skipped with the reason.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const nothing = (): Promise<void> => Promise.resolve()
  if (process.env['MARIADB_URL'] || process.env['MYSQL_URL']) return nothing
  try {
    const server = await startMariadb({ progress: (line) => void process.stderr.write(`${line}\n`) })
    process.env['MARIADB_URL'] = server.url
    return () => server.stop()
  } catch (error) {
    if (!isRedstreamError(error)) throw error
    process.env['MARIADB_MISSING'] = error.message
    return nothing
  }
}
