/** Renames a city and dies between commit and publish: `node crashing-application.ts ID NAME`. */
import { importApplication } from './loader.ts'

const [id, name] = process.argv.slice(2)
const { renameAndDie } = await importApplication<typeof import('./rename-and-die.ts')>(
  new URL('rename-and-die.ts', import.meta.url),
)
await renameAndDie(Number(id), name ?? '')
