import { TransactionBuffer } from '../../src/capture/transaction-buffer.ts'
import { encodeDelayed, type Message } from '../../src/streams/message.ts'
import { transactionText, type TransactionText } from '../../src/streams/transaction.ts'
import { xadd, xdel } from './fake-redis.ts'
import { publish, requeueIds } from './fake-scripts.ts'
import {
  youngMs,
  type Operation,
  type RowState,
  type Scenario,
  type Times,
  type Transaction,
} from './scenario.ts'
import { fault, work, type Step } from './step.ts'
import type { Application, World } from './world.ts'

/** Makes a step of one process: what it does. */
type ApplicationStep = (does: string, run: (world: World, me: Application) => void) => Step

/**
 * The application's processes, as `capture/subscriber.ts`, `capture/transaction-capture.ts` and `Producer.bulk` let
 * them act: delay messages before the commit, the publish after it. A crash at any step is the end of the process; the
 * next one goes on with the next transaction.
 */
export function applicationSteps(world: World, scenario: Scenario): Step[] {
  return world.applications.flatMap((application, i) => {
    const transaction = scenario.applications[i]![application.transaction]
    if (transaction === undefined) return []
    if (application.stopped)
      return [work(`${application.name} goes on`, (next) => void (next.applications[i]!.stopped = false))]
    return [
      ...ordinarySteps(world, scenario, application, i, transaction),
      ...faults(world, scenario, application, i, transaction),
    ]
  })
}

/** Since when a transaction has delay messages that must not become due yet; undefined when it has none. */
export function holdsTimeSince(
  { phase, since }: Application,
  { publishIsInTime }: Times,
): number | undefined {
  const holds = phase === 'open' || phase === 'unanswered' || (publishIsInTime && phase === 'committed')
  return holds ? since : undefined
}

function ordinarySteps(
  world: World,
  scenario: Scenario,
  application: Application,
  i: number,
  transaction: Transaction,
): Step[] {
  const { phase, name } = application
  const nth = `transaction ${application.transaction + 1}`
  const step: ApplicationStep = (does, run) =>
    work(`${name} ${does}`, (next) => run(next, next.applications[i]!))
  switch (phase) {
    case 'idle':
      return [beginStep(scenario, transaction, step, nth)]
    case 'open':
      return openSteps(world, scenario, application, i, transaction, step)
    case 'unanswered':
      return [
        step('is told nothing, but the database commits', (next, me) => {
          commit(next, me, transaction)
          finish(me)
        }),
        step('is told nothing, and the database drops the transaction', (next, me) => {
          abort(next, me)
          finish(me)
        }),
      ]
    case 'committed':
      if (transaction.by === 'bulk')
        return [
          step('moves its delay messages to the bulk lane', (next, me) => {
            const [, moved] = requeueIds(next.redis, 'bulk', me.entries)
            // As `moveOrPublish` does.
            if (scenario.rules.bulk === 'moves-or-adds' && moved < me.entries.length) me.phase = 'to-add'
            else finish(me)
          }),
        ]
      if (scenario.rules.publish === 'delay-entries-deleted-first')
        return [
          step('deletes its delay messages', (next, me) => {
            xdel(next.redis, 'delay', me.entries)
            me.phase = 'to-add'
          }),
        ]
      return [
        step('publishes', (next, me) => {
          publish(next.redis, 'main', messagesOf(transaction), me.entries)
          finish(me)
        }),
      ]
    case 'to-add':
      return [
        step('publishes', (next, me) => {
          if (transaction.by === 'bulk') publish(next.redis, 'bulk', rowsOf(transaction), [])
          else publish(next.redis, 'main', messagesOf(transaction), [])
          finish(me)
        }),
      ]
    case 'rolled-back':
      return [
        step('deletes the delay messages of what it rolled back', (next, me) => {
          xdel(next.redis, 'delay', me.entries)
          finish(me)
        }),
      ]
  }
}

function beginStep(scenario: Scenario, transaction: Transaction, step: ApplicationStep, nth: string): Step {
  const isOneStep = scenario.coarse && scenario.rules.delayMessages === 'none'
  return step(`${isOneStep ? 'commits' : 'begins'} ${nth} (${describe(transaction)})`, (next, me) => {
    begin(next, me, scenario, transaction)
    if (isOneStep) end(next, me, transaction)
  })
}

function openSteps(
  world: World,
  scenario: Scenario,
  application: Application,
  i: number,
  transaction: Transaction,
  step: ApplicationStep,
): Step[] {
  const { operations } = transaction
  const steps: Step[] = []
  const operation = operations[application.executed]
  if (operation !== undefined && operation.kind !== 'write') {
    steps.push(
      step(`does ${operation.kind} of a savepoint`, (_, me) => {
        me.begun++
        me.executed++
      }),
    )
  } else if (operation !== undefined && application.begun === application.executed) {
    steps.push(
      step(`announces ${operation.row}`, (_, me) => {
        if (scenario.rules.delayMessages === 'before-commit') announce(me, operations, operation.row)
        me.begun++
      }),
    )
  } else if (operation !== undefined && !isLocked(world, scenario, i, operation.row)) {
    steps.push(step(`writes ${operation.row} (${operation.state})`, (_, me) => void me.executed++))
  }
  if (application.toWrite.length > 0)
    steps.push(step(`has its delay message in Redis`, (next, me) => flush(next, me, scenario, transaction)))
  if (
    operation === undefined &&
    application.toWrite.length === 0 &&
    mustBeNamed(world, application, scenario, transaction)
  )
    steps.push(step('names its transaction', (next, me) => name(next, me, transaction)))
  else if (operation === undefined && application.toWrite.length === 0)
    steps.push(
      transaction.ends === 'commit'
        ? step('commits', (next, me) => end(next, me, transaction))
        : step('rolls back', (next, me) => end(next, me, transaction)),
    )
  return steps
}

function faults(
  world: World,
  scenario: Scenario,
  application: Application,
  i: number,
  transaction: Transaction,
): Step[] {
  const { name, phase, executed, toWrite } = application
  if (phase === 'idle' || phase === 'unanswered') return []
  const mayCommit =
    phase === 'open' &&
    transaction.ends === 'commit' &&
    executed === transaction.operations.length &&
    toWrite.length === 0 &&
    !mustBeNamed(world, application, scenario, transaction)
  return [
    ...fault(world, scenario, 'application-crash', `${name} dies`, (next) => {
      const me = next.applications[i]!
      if (me.phase === 'open') abort(next, me)
      finish(me)
    }),
    ...(mayCommit
      ? fault(world, scenario, 'commit-unanswered', `${name} sends COMMIT and gets no answer`, (next) => {
          const me = next.applications[i]!
          me.phase = 'unanswered'
          if (scenario.rules.failedCommit === 'delay-messages-deleted') xdel(next.redis, 'delay', me.entries)
        })
      : []),
    ...fault(world, scenario, 'stop', `${name} is stopped`, (next) => {
      next.applications[i]!.stopped = true
    }),
  ]
}

/** `bulk` notes every row before its first statement; `save` announces each row as its hooks are called. */
function begin(
  world: World,
  me: Application,
  scenario: Scenario,
  { by, operations, ends }: Transaction,
): void {
  me.phase = 'open'
  if (by === 'save' && !scenario.coarse) return
  if (scenario.rules.delayMessages === 'before-commit') {
    for (const operation of operations)
      if (operation.kind === 'write') announce(me, operations, operation.row)
    flush(world, me, scenario, { by, operations, ends })
  }
  me.begun = operations.length
  if (scenario.coarse) me.executed = operations.length
}

/** One delay message per row and transaction. */
function announce(me: Application, operations: readonly Operation[], row: string): void {
  const earlier = operations.slice(0, me.begun)
  const known = earlier.some((operation) => operation.kind === 'write' && operation.row === row)
  if (!known && !me.toWrite.includes(row)) me.toWrite.push(row)
}

/** The delay messages of `bulk` are written outside of the transaction, and name none. */
function flush(world: World, me: Application, { asks }: Scenario, { by }: Transaction): void {
  if (me.toWrite.length === 0) return
  const says = asks !== 'nobody' && by === 'save'
  delay(world, me, me.toWrite, says ? (me.isNamed ? nameOf(me) : someTransaction) : undefined)
  me.since ??= world.now
  me.toWrite = []
}

/** As `TransactionCapture` does it before the commit. */
function mustBeNamed(
  { now }: World,
  { isNamed, since }: Application,
  { asks, rules }: Scenario,
  { by }: Transaction,
): boolean {
  if (asks === 'nobody' || rules.named === 'never' || by === 'bulk') return false
  return !isNamed && since !== undefined && now - since >= youngMs
}

function name(world: World, me: Application, transaction: Transaction): void {
  me.isNamed = true
  const rows = messagesOf(transaction).map(({ id }) => id)
  if (rows.length > 0) delay(world, me, rows, nameOf(me))
}

function delay(
  { redis }: World,
  me: Application,
  rows: readonly string[],
  transaction: TransactionText | undefined,
): void {
  const messages = rows.map((id): Message => ({ id }))
  me.entries.push(xadd(redis, 'delay', encodeDelayed(messages, transaction)))
}

export const cluster = 'database'
const someTransaction = transactionText(cluster, '')

/** The transaction that a process is in. */
export function nameOf({ name, transaction }: Application): TransactionText {
  return transactionText(cluster, `${name}/${transaction + 1}`)
}

function end(world: World, me: Application, transaction: Transaction): void {
  if (transaction.ends === 'commit') commit(world, me, transaction)
  else abort(world, me)
  me.phase = transaction.ends === 'commit' ? 'committed' : 'rolled-back'
}

function finish(me: Application): void {
  me.transaction++
  me.phase = 'idle'
  me.begun = 0
  me.executed = 0
  me.toWrite = []
  me.isNamed = false
  me.entries = []
  me.since = undefined
}

function abort({ database }: World, me: Application): void {
  database.ended[nameOf(me)] = 'aborted'
}

function commit({ database }: World, me: Application, { operations }: Transaction): void {
  database.ended[nameOf(me)] = 'committed'
  const written = surviving(operations)
  if (written.size === 0) return
  database.commits++
  for (const [row, state] of written) database.rows[row] = Object.freeze({ state, commit: database.commits })
}

/** What the database makes of savepoints: snapshots. Not the code that the messages come from, see {@link messagesOf}. */
function surviving(operations: readonly Operation[]): Map<string, RowState> {
  let written = new Map<string, RowState>()
  const snapshots: Map<string, RowState>[] = []
  for (const operation of operations) {
    if (operation.kind === 'write') written.set(operation.row, operation.state)
    else if (operation.kind === 'savepoint') snapshots.push(new Map(written))
    else {
      const snapshot = snapshots.pop()
      if (operation.kind === 'rollback' && snapshot !== undefined) written = snapshot
    }
  }
  return written
}

/** Every row that a bulk has noted, changed or not. */
function rowsOf({ operations }: Transaction): Message[] {
  const rows = operations.flatMap((operation) => (operation.kind === 'write' ? [operation.row] : []))
  return [...new Set(rows)].map((id) => ({ id }))
}

function messagesOf({ operations }: Transaction): Message[] {
  const buffer = new TransactionBuffer<'rows', Message>()
  for (const operation of operations) {
    if (operation.kind === 'write') buffer.add('rows', operation.row, { id: operation.row })
    else if (operation.kind === 'savepoint') buffer.beginSavepoint()
    else if (operation.kind === 'release') buffer.releaseSavepoint()
    else buffer.rollbackSavepoint()
  }
  return [...(buffer.changes().get('rows')?.values() ?? [])]
}

/** Another open transaction has written the row. */
function isLocked(world: World, scenario: Scenario, me: number, row: string): boolean {
  return world.applications.some(({ phase, transaction, executed }, i) => {
    if (i === me || (phase !== 'open' && phase !== 'unanswered')) return false
    const done = scenario.applications[i]![transaction]!.operations.slice(0, executed)
    return !scenario.coarse && done.some((operation) => operation.kind === 'write' && operation.row === row)
  })
}

function describe({ by, ends, operations }: Transaction): string {
  const parts = operations.map((one) => (one.kind === 'write' ? `${one.row} ${one.state}` : one.kind))
  return `${by}: ${parts.join(', ')}; ${ends}`
}
