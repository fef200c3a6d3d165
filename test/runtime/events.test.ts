import { expect, it } from 'vitest'

import { Events } from '../../src/runtime/events.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'

it('tells its listeners, and nobody else has to be there', () => {
  const events = new Events(recordingLogger([]))
  events.tell('trimmed', { stream: 'cities', entries: 1 })
  const heard: number[] = []
  events.on('trimmed', ({ entries }) => heard.push(entries))
  events.tell('trimmed', { stream: 'cities', entries: 2 })
  expect(heard).toEqual([2])
})

it('a listener that fails does not fail who tells', () => {
  const log: LogLine[] = []
  const events = new Events(recordingLogger(log))
  events.on('requeued', () => {
    throw new Error('boom')
  })
  events.tell('requeued', { stream: 'cities', messages: 1 })
  expect(log).toMatchObject([{ level: 'error', facts: { event: 'requeued', err: { message: 'boom' } } }])
})
