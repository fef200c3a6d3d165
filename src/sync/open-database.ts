import type { DataSource } from 'typeorm'

import { RedstreamError, isRedstreamError } from '../errors.ts'

/**
 * Connects the DataSource unless the application has done so; true when it was done here.
 *
 * @throws RedstreamError DATABASE
 */
export async function openDatabase(dataSource: DataSource): Promise<boolean> {
  if (dataSource.isInitialized) return false
  try {
    await dataSource.initialize()
    return true
  } catch (error) {
    if (isRedstreamError(error)) throw error
    const { type, url, host, port, database } = dataSource.options as {
      type: string
      url?: string
      host?: string
      port?: number
      database?: string
    }
    const parts = url !== undefined && URL.canParse(url) ? new URL(url) : undefined
    const name = database ?? parts?.pathname.slice(1) ?? ''
    const place = [host ?? parts?.hostname, port ?? parts?.port].filter(Boolean).join(':')
    const where = [type, place].filter(Boolean).join(' at ')
    const reason = error instanceof Error ? error.message || (error as { code?: string }).code : String(error)
    throw new RedstreamError(
      'DATABASE',
      `the database "${name}" (${where}) cannot be used: ${reason}; see the DataSource in the configuration`,
      { cause: error },
    )
  }
}
