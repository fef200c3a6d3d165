/**
 * @typedef {object} Task
 * @property {string} does what it is for, for the usage text
 * @property {string} [file] the program of the task, run with Node 24
 * @property {string[][]} [commands] commands of node_modules/.bin, run one after the other, in place of a file
 * @property {boolean} [build] whether it needs dist
 * @property {boolean} [endsWithParent] whether it ends when the program that started it is gone
 * @property {string} [stayFlag] the argument with which it does not
 */

/** @type {Record<string, Task>} */
export const tasks = {
  demo: { does: 'the main job on real data', file: 'examples/cities/demo.ts', build: true },
  services: {
    does: 'the three servers',
    file: 'services/main.ts',
    endsWithParent: true,
    stayFlag: '--stay',
  },
  test: { does: 'all tests, or those whose path holds an argument', file: 'scripts/test.ts', build: true },
  torture: { does: 'random writers and random kills', file: 'test/torture/main.ts', build: true },
  bench: { does: 'drain, saves, transactions, latency', file: 'bench/main.ts', build: true },
  'bench:asking': { does: 'what a delay that asks costs who writes', file: 'bench/asking-cost.ts' },
  'bench:backlog': {
    does: 'a backlog of a million messages and one consumer',
    file: 'bench/backlog.ts',
    build: true,
  },
  'bench:capture': { does: 'what each way of capture costs who writes', file: 'bench/capture.ts' },
  'bench:cascade': {
    does: 'a renamed country beside single edits',
    file: 'bench/cascade.ts',
    build: true,
  },
  'bench:outage': {
    does: 'servers that are away under a steady load',
    file: 'bench/outage.ts',
    build: true,
  },
  'bench:outbox': {
    does: 'the size of the outbox while 10,000,000 rows go through it',
    file: 'bench/outbox.ts',
    build: true,
  },
  'bench:reindex': { does: 'a reindex beside writes, searches and kills', file: 'bench/reindex.ts' },
  'bench:take-over': {
    does: 'how long until others index what a killed consumer held',
    file: 'bench/take-over.ts',
    build: true,
  },
  'bench:statements': { does: 'what a captured statement costs', file: 'bench/statement-cost.ts' },
  'bench:verify': { does: 'verify, with differences made on purpose', file: 'bench/verify.ts' },
  build: { does: 'dist', build: true },
  // Examples and tests import the package by its name, so these two need its types in dist.
  lint: {
    does: 'oxlint and oxfmt',
    build: true,
    commands: [
      ['oxlint', '--type-aware'],
      ['oxfmt', '--check'],
    ],
  },
  types: { does: 'the type check', build: true, commands: [['tsc', '--noEmit', '-p', '.']] },
  check: { does: 'the package as users get it', file: 'scripts/check-package.ts', build: true },
}

/** @param {string | undefined} name what was asked for */
export function usage(name) {
  const problem = name === undefined ? [] : [`There is no task "${name}".`]
  const list = Object.entries(tasks).map(([task, { does }]) => `  ${task.padEnd(17)}${does}`)
  return [...problem, 'Usage: node scripts/run.mjs TASK [ARGUMENTS]', ...list].join('\n')
}
