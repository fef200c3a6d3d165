import type { Client } from '@elastic/elasticsearch'
import { z } from 'zod'

import { actionOf, nextRequest, type BulkRequest, type TargetedOperation } from './bulk-request.ts'
import { fateOf, fateOfRequest, type Answer, type Fate } from './fate.ts'
import { PressureGate, type Reception, type Window } from './pressure.ts'

/** What became of one operation. */
export interface Outcome {
  readonly operation: TargetedOperation
  readonly fate: Fate
  /** Elasticsearch's error type, or the kind of failure when there was no answer. */
  readonly type?: string | undefined
  /** For people; never decides anything. */
  readonly reason?: string | undefined
}

export interface BulkWriterOptions {
  readonly client: Client
  /** Largest request in bytes; larger documents go alone. */
  readonly bulkBytes: number
  /** Most documents in a request. */
  readonly batchSize: number
  /** Most requests in flight; one more when one is urgent. */
  readonly concurrency: number
  /** Longest wait for an answer, in ms. */
  readonly requestTimeoutMs: number
}

/** Who hears how it goes, request by request. */
export interface BulkListener {
  /** A request was answered, or was not: how it was received, and what may be sent from now on. */
  received(reception: Reception, window: Window): void
  /** What became of its operations. */
  answered(outcomes: readonly Outcome[]): void
}

const errorSchema = z.object({
  type: z.string(),
  reason: z.string().nullish(),
  caused_by: z.object({ reason: z.string().nullish() }).nullish(),
})

/**
 * Sends operations in bulk requests and says of every single one what became of it; it never rejects for an answer.
 * How much is in flight, and how large a request is, follows how Elasticsearch takes it (see `pressure.ts`).
 */
export class BulkWriter {
  readonly #options: BulkWriterOptions
  readonly #gate: PressureGate
  readonly #listener: BulkListener

  constructor(options: BulkWriterOptions, listener: BulkListener) {
    this.#options = options
    this.#listener = listener
    const { concurrency, batchSize, bulkBytes } = options
    this.#gate = new PressureGate({ requests: concurrency, documents: batchSize, bytes: bulkBytes })
  }

  /**
   * When Elasticsearch wants less, the operations that are left are not sent but come back as `wait`.
   *
   * @param urgent - whether somebody may wait for it: it does not wait for requests that are not urgent
   * @param mayStillSend - asked before each request; when it says no, the operations that are left come back as `wait`
   */
  async send(
    operations: readonly TargetedOperation[],
    urgent: boolean,
    mayStillSend: () => boolean,
  ): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    let rest = operations
    let type: string | undefined
    while (rest.length > 0 && type === undefined) {
      let sent = false
      const answered = await this.#gate.through(
        urgent,
        async () => {
          if (!mayStillSend()) return []
          sent = true
          return this.#request(nextRequest(rest, this.#gate.window))
        },
        wantsLess,
        (reception) => {
          if (sent) this.#listener.received(reception, this.#gate.window)
        },
      )
      if (sent) this.#listener.answered(answered)
      outcomes.push(...answered)
      rest = rest.slice(answered.length)
      if (!sent) type = 'ticket_too_old'
      else if (wantsLess(answered)) type = 'held_back'
    }
    return [...outcomes, ...rest.map((operation): Outcome => ({ operation, fate: 'wait', type }))]
  }

  async #request(request: BulkRequest): Promise<Outcome[]> {
    let answer: Answer & { reason: string | undefined }
    try {
      const response = await this.#options.client.transport.request(
        {
          method: 'POST',
          path: '/_bulk',
          querystring: {
            // A late write must not make an index anew that a reindex has dropped.
            require_alias: true,
            filter_path:
              'items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason',
          },
          bulkBody: request.body,
        },
        // Refused items are sent again by the Consumer, with rows that are read anew.
        { maxRetries: 0, requestTimeout: this.#options.requestTimeoutMs },
      )
      return pair(request, response)
    } catch (error) {
      answer = answerOf(error)
    }
    const fate = fateOfRequest(answer)
    // A request that is refused as a whole, because it is too large or one of its lines is malformed: halves tell
    // which document it is.
    if (fate === 'poison' && request.operations.length > 1) {
      const middle = Math.ceil(request.operations.length / 2)
      const halves = [request.operations.slice(0, middle), request.operations.slice(middle)]
      const outcomes: Outcome[] = []
      for (const half of halves) {
        outcomes.push(...(await this.#request(nextRequest(half, { documents: Infinity, bytes: Infinity }))))
      }
      return outcomes
    }
    return request.operations.map((operation) => ({
      operation,
      fate,
      type: answer.type ?? `http_${answer.status}`,
      reason: answer.reason,
    }))
  }
}

function pair(request: BulkRequest, response: unknown): Outcome[] {
  const items = (response as { items?: unknown } | null | undefined)?.items
  if (!Array.isArray(items)) throw new TypeError('Elasticsearch answered a bulk request without items')
  if (items.length !== request.operations.length) {
    throw new TypeError(
      `Elasticsearch answered ${items.length} items for ${request.operations.length} operations`,
    )
  }
  return request.operations.map((operation, i) => outcomeOf(operation, items[i]))
}

/** Checked by hand, as its list is, as long as all is well: there is one for each document. */
function outcomeOf(operation: TargetedOperation, item: unknown): Outcome {
  const answers = item as Record<string, { status?: unknown; error?: unknown } | undefined> | null | undefined
  const answer = answers?.[actionOf(operation)]
  if (typeof answer?.status !== 'number')
    throw new TypeError('Elasticsearch answered an item without a status')
  const { status } = answer
  if (answer.error === undefined) return { operation, fate: fateOf({ status }) }
  const { type, reason, caused_by } = errorSchema.parse(answer.error)
  const reasons = [reason, caused_by?.reason].filter(Boolean).join(': ') || undefined
  return { operation, fate: fateOf({ status, type }), type, reason: reasons }
}

/** What a failure of the whole request says; status 0 when there was no answer. */
function answerOf(error: unknown): Answer & { reason: string | undefined } {
  const reason = error instanceof Error ? error.message : String(error)
  const parsed = z
    .object({ statusCode: z.number(), body: z.object({ error: errorSchema }).optional().catch(undefined) })
    .safeParse(error)
  if (!parsed.success) return { status: 0, type: error instanceof Error ? error.name : undefined, reason }
  return { status: parsed.data.statusCode, type: parsed.data.body?.error.type, reason }
}

/** Whether Elasticsearch refused some of it for now, or did not answer. */
function wantsLess(outcomes: readonly Outcome[]): boolean {
  return outcomes.some(({ fate }) => fate === 'wait')
}
