import { loadConfig } from '../runtime/config-loader.ts'
import type { Logger } from '../runtime/logger.ts'
import { createLogger, type LogLevel } from '../runtime/pino-logger.ts'
import type { Settings } from '../runtime/settings.ts'
import { openPipeline, type Pipeline, type PipelineNeeds } from '../sync/pipeline.ts'
import { settingFlags } from './setting-flags.ts'

/** Options of every command, as commander keeps them; the setting flags are among them. */
export interface CommonOptions extends Readonly<Record<string, unknown>> {
  readonly config?: string
  readonly logLevel: LogLevel
}

/**
 * Loads the configuration, connects to the servers, and closes the connections when `work` is done.
 *
 * @param needs - which servers must answer. Default: all
 *
 * @throws RedstreamError of the configuration, the connections and `work`
 */
export async function withPipeline<T>(
  options: CommonOptions,
  work: (pipeline: Pipeline, logger: Logger, settings: Settings) => Promise<T>,
  needs?: PipelineNeeds,
): Promise<T> {
  const logger = createLogger({ level: options.logLevel })
  const { origins, ...config } = await loadConfig({ file: options.config, flags: settingFlags(options) })
  logger.debug({ settings: config.settings, origins }, 'the settings and where they come from')
  const pipeline = await openPipeline(config, logger, needs)
  try {
    return await work(pipeline, logger, config.settings)
  } finally {
    await pipeline.close()
  }
}
