import { expect, test } from 'vitest'

import { formatCount, formatTime, progressLine, rate, wrap } from '../../examples/cities/demo/screen.ts'

test('a line of progress names each track with its rate', () => {
  const tracks = [
    { label: 'rows written', total: 171_075 },
    { label: 'documents found', total: 171_075 },
  ]
  expect(progressLine(tracks, [52_000, 41_000], 5_000)).toBe(
    'rows written 52,000 of 171,075 (10,400/s), documents found 41,000 of 171,075 (8,200/s)',
  )
})

test('numbers are written for people', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567')
  expect(formatTime(340.4)).toBe('340 ms')
  expect(formatTime(12_340)).toBe('12.3 s')
  expect(rate(10, 0)).toBe(0)
})

test('a text is broken between words, and a word that is too long stays whole', () => {
  expect(wrap('one two three', 7)).toEqual(['one two', 'three'])
  expect(wrap('incomprehensible, is it', 5)).toEqual(['incomprehensible,', 'is it'])
})
