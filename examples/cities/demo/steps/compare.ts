import { compareSides, type Comparison, type Item } from '../comparison.ts'
import { formatCount, formatTime, type Progress } from '../screen.ts'
import { documentsOf, rowsOf } from '../sides.ts'
import { check, type Application } from '../stage.ts'

const lookEvery = 1_000

/** Reads every row and every document and compares them, without any code of Redstream. */
export async function compare(application: Application): Promise<Comparison> {
  const { screen, redstream, dataSource, elasticsearch, workspace, data } = application
  screen.step(
    'Compare',
    'The proof: every row, read with plain SQL, against every document, field by field and both ways. It stays in ' +
      'the memory of one page of each.',
  )
  await redstream.drained({ timeout: 60_000 })
  await elasticsearch.indices.refresh({ index: workspace.index })
  const begin = performance.now()
  const progress = screen.progress([{ label: 'rows compared', total: data.cities.length }])
  const rows = watched(rowsOf(dataSource, workspace.schema), application, progress)
  const documents = documentsOf(elasticsearch, workspace.index)
  const comparison = await compareSides(rows, documents).finally(() => progress.stop())
  const { rows: count, examples, differences } = comparison
  screen.line(`${formatCount(count)} rows compared in ${formatTime(performance.now() - begin)}`)
  for (const example of examples) screen.line(`  difference: ${example}`)
  if (differences > examples.length) screen.line(`  and ${formatCount(differences - examples.length)} more`)
  return comparison
}

async function* watched(
  items: AsyncIterable<Item>,
  application: Application,
  progress: Progress,
): AsyncGenerator<Item> {
  let read = 0
  for await (const item of items) {
    yield item
    read += 1
    if (read % lookEvery > 0) continue
    check(application)
    progress.update([read])
  }
  progress.update([read])
}
