import { startServices } from '../../services/services.ts'

/** Starts the servers once for the whole run. Test processes, and theirs, find the addresses in the environment. */
export default async function setup(): Promise<() => Promise<void>> {
  const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
  process.env['DATABASE_URL'] = services.databaseUrl
  process.env['REDIS_URL'] = services.redisUrl
  process.env['ELASTICSEARCH_URL'] = services.elasticsearchUrl
  return () => services.stop()
}
