import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { section, tableRows } from '../docs/markdown.ts'
import { indexNames } from './shop.ts'
import { Stage } from './stage.ts'
import type { Witness } from './witness.ts'
import { newScene, type Group, type Write } from './writes/scene.ts'
import { groups } from './writes/table.ts'

const modes = ['subscriber', 'outbox', 'trigger', 'wal'] as const
const documented = new Map(
  tableRows(section('docs/guarantees.md', 'What each sees')).map(([kind = '', ...outcomes]) => [
    kind,
    Object.fromEntries(modes.map((mode, i) => [mode, outcomes[i]])),
  ]),
)

/**
 * Tries every kind of write and compares what becomes of it with the table in docs/guarantees.md: **seen**, the documents
 * agree with the rows when all is drained; **reported**, they do not, and `uncaptured` says so; **not seen**, nobody says
 * anything, and only `redstream verify --repair` mends it.
 */
export function everyWriteIsAsDocumented(witness: Witness): void {
  let stage: Stage

  beforeAll(async () => {
    stage = await Stage.open(witness)
    stage.work('consumer', 'trimmer', ...witness.workers)
  })
  afterAll(() => stage?.dispose())

  test('the table in docs/guarantees.md names the kinds of writes that are tried here', () => {
    expect([...documented.keys()]).toEqual(Object.keys(groups))
  })

  describe.each(Object.entries(groups))('%s', (kind, group) => {
    // What Redstream finds is what was found here; and it mends it, for the writes that come after these.
    afterAll(async () => {
      const wrong = await wrongIn(stage)
      const reports = await stage.verify({ repair: true })
      expect(reports.map(({ missing, stale, orphaned }) => missing + stale + orphaned)).toEqual(
        indexNames.map((name) => [...wrong].filter((difference) => difference.includes(` ${name} `)).length),
      )
      expect(await stage.differences()).toEqual([])
    })

    const isMadeOnce = group.made === 'once' || !witness.isApplication
    describe.each(isMadeOnce ? ['as it is'] : ['without a transaction', 'inside a transaction'])(
      '%s',
      (how) => {
        test.each(Object.entries(group.writes))('%s', async (_, write) => {
          expect(await outcomeOf(stage, group, write, how === 'inside a transaction')).toBe(
            documented.get(kind)?.[witness.mode],
          )
        })
      },
    )
  })
}

/** Everything that is wrong at this moment, by what tells one difference from another. */
async function wrongIn(stage: Stage): Promise<Set<string>> {
  return new Set((await stage.differences()).map(({ kind, index, id }) => `${kind} ${index} ${id}`))
}

async function outcomeOf(stage: Stage, group: Group, write: Write, inside: boolean): Promise<string> {
  const { schema, databaseUrl } = stage.space
  const scene = await newScene(stage, { schema, databaseUrl })
  await stage.drained()
  const wrong = await wrongIn(stage)
  const before = await stage.expected()
  let reported = 0
  const count = (): void => void reported++
  stage.redstream.events.on('uncaptured', count)
  if (inside) await stage.dataSource.transaction((manager) => write({ ...scene, manager }))
  else await write(scene)
  stage.redstream.events.off('uncaptured', count)
  const after = await stage.expected()
  if (group.leavesAll) expect(after).toEqual(before)
  else expect(after).not.toEqual(before)

  await stage.drained()
  // Those that an earlier write of this group has left are not this one's.
  const more = [...(await wrongIn(stage))].filter((difference) => !wrong.has(difference))
  if (more.length === 0) return 'seen'
  return reported > 0 ? 'reported' : 'not seen'
}
