import { actionWrites, entityWrites, pairWrites, statementWrites } from './entities.ts'
import { redstreamWrites } from './redstream.ts'
import type { Group } from './scene.ts'
import { blindWrites, hiddenWrites, rawWrites, strangeWrites, truncations } from './sql.ts'
import { handmadeTransactions, rollbacks, transactions } from './transactions.ts'

/** The kinds of writes, by their lines in docs/guarantees.md. */
export const groups: Readonly<Record<string, Group>> = {
  '`save`, `remove`, `softRemove`, `recover`': entityWrites,
  '`insert`, `upsert`, `update`, `delete`, query builders': statementWrites,
  'pairs of a many-to-many relation': pairWrites,
  '`redstream.update`, `delete`, `insert`, `bulk`, `touch`': redstreamWrites,
  '`ON DELETE CASCADE`, `SET NULL` after them': actionWrites,
  'transactions, savepoints': transactions,
  'what is rolled back': rollbacks,
  'an upsert whose key only the database knows': blindWrites,
  '`BEGIN` sent by hand': handmadeTransactions,
  'triggers of yours in the database': hiddenWrites,
  '`query(sql)`, `MERGE`, `WITH … DELETE`': rawWrites,
  '`clear()`, `TRUNCATE`': truncations,
  'other programs, `COPY`': strangeWrites,
}
