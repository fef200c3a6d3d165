import type { DatabaseStep } from '../capture/database-objects.ts'

/** What is to be done in the database, for people: with the statements, for those who want to read or run them. */
export function formatSteps(steps: readonly DatabaseStep[]): string {
  return steps
    .flatMap(({ object, action, reason, sql }) => [
      line(action, object),
      ...(reason === undefined ? [] : [line('', reason)]),
      ...(sql === '' ? [] : `${sql};`.split('\n').map((text) => line('', text))),
    ])
    .join('')
}

/** What was done in the database, for people. */
export function formatDone(steps: readonly DatabaseStep[]): string {
  return steps.map(({ object, action }) => line(done[action], object)).join('')
}

const done = {
  create: 'created',
  replace: 'updated',
  drop: 'dropped',
  nothing: 'unchanged',
} as const satisfies Record<DatabaseStep['action'], string>

function line(action: string, text: string): string {
  return `${action.padEnd(9)}  ${text}`.trimEnd() + '\n'
}
