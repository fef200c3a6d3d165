import { captureModesOf, type CaptureModes } from '../capture/stream-modes.ts'
import { RedstreamError } from '../errors.ts'
import type { Source } from '../sync/sources.ts'
import { Audit, type AuditSpan } from './audit.ts'
import { Hearing } from './hearing.ts'
import { passagesOf } from './passages.ts'
import { reportOf, Tally, type AuditReport } from './report.ts'
import { cascadeOf, Scene, type AuditSite } from './scene.ts'
import { shadowModes, type ShadowMode } from './shadow.ts'

export interface AuditOptions extends AuditSpan {
  readonly against: ShadowMode
}

/**
 * Follows the database with a second source for a while, and tells what the first one has missed. Streams that the second
 * one captures already are left out.
 *
 * @throws RedstreamError CONFIG when the database is not PostgreSQL, USAGE when the second source is the first, DATABASE
 *   when another audit runs or the shadow cannot be made, REDIS, REDIS_UNAVAILABLE
 */
export async function auditCapture(site: AuditSite, options: AuditOptions): Promise<AuditReport> {
  const { sources, connections, settings, logger } = site
  const { against } = options
  checkDatabase(site)
  const audited = auditedModes(site, against)
  const scene = new Scene(site, audited)
  return scene.onSession(async (session) => {
    await scene.removeLeftovers(session)
    const tally = new Tally()
    const partitions = new Map(
      sources
        .filter(({ definition }) => audited.has(definition))
        .map((one) => [one.definition.stream, one.partitions]),
    )
    const databaseNowMs = (): Promise<number> => session.nowMs()
    const audit = new Audit({
      shadow: await scene.shadow(against, session),
      hearing: new Hearing({
        connections,
        partitions,
        passages: passagesOf(audited.values(), session, scene.running, settings.captureSchema),
        databaseNowMs,
        judge: tally,
        graceMs: options.graceMs,
        logger,
      }),
      messages: scene.messages,
      modes: audited,
      databaseNowMs,
      tally,
      logger,
    })
    const { fromMs, toMs, complete, resolutionMs } = await audit.run(options)
    const [from, to] = [fromMs, toMs].map((ms) => new Date(ms).toISOString()) as [string, string]
    const indices = indicesBehind(sources, tally.missedTables)
    return reportOf(tally.lines, { against, from, to, complete, resolutionMs, indices })
  })
}

/**
 * Removes what audits have left behind that were killed; returns what that was.
 *
 * @throws RedstreamError CONFIG when the database is not PostgreSQL, DATABASE when an audit runs, REDIS,
 *   REDIS_UNAVAILABLE
 */
export async function cleanAudits(site: AuditSite): Promise<string[]> {
  checkDatabase(site)
  const scene = new Scene(site, new Map())
  return scene.onSession((session) => scene.removeLeftovers(session))
}

function checkDatabase({ dataSource }: AuditSite): void {
  const { type } = dataSource.options
  if (type === 'postgres') return
  throw new RedstreamError(
    'CONFIG',
    `redstream audit needs PostgreSQL, which alone has triggers and a log to compare with; the DataSource is ${type}`,
  )
}

/**
 * The streams whose source the second one is to be compared with.
 *
 * @throws RedstreamError USAGE when there are none
 */
function auditedModes({ sources, settings }: AuditSite, against: ShadowMode): CaptureModes {
  const indexes = sources.flatMap(({ index }) => index ?? [])
  const modes = captureModesOf(indexes, cascadeOf(sources), settings.capture)
  const audited = new Map([...modes].filter(([, mode]) => mode !== against))
  if (audited.size > 0) return audited
  throw new RedstreamError(
    'USAGE',
    `every index is captured by "${against}" already, which would be compared with itself; name the other source ` +
      `(--against ${shadowModes.find((mode) => mode !== against)}; setting capture)`,
  )
}

/** The indices whose documents show rows of some tables. */
function indicesBehind(sources: readonly Source[], tables: ReadonlySet<string>): string[] {
  const behind = sources.filter(({ definition }) => tables.has(definition.metadata.tablePath))
  const names = behind.flatMap(({ index, paths }) => [
    ...(index === undefined ? [] : [index.name]),
    ...paths.map(({ owner }) => owner.name),
  ])
  return [...new Set(names)].toSorted()
}
