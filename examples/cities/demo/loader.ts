import { fileURLToPath } from 'node:url'

import { createLoader } from '../../../src/runtime/typescript-loader.ts'

/**
 * Imports a file of the application with everything below it. Entities have decorators, which Node cannot run, so it
 * goes through the loader that the command line has for configuration files; an application of yours is compiled.
 */
export async function importApplication<T>(url: URL): Promise<T> {
  const loader = createLoader(fileURLToPath(url), { redstream: await import('redstream') })
  return loader.import<T>(fileURLToPath(url))
}
