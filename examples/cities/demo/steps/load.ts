import { City } from '../../entities/city.ts'
import { Country } from '../../entities/country.ts'
import { formatCount, formatTime, rate } from '../screen.ts'
import { check, type Application } from '../stage.ts'
import type { SourceCity } from '../source-data.ts'
import { countDocuments } from './documents.ts'

const rowsPerTransaction = 1_000
const lookEveryMs = 250
/** The load has failed when nothing moves for so long. */
const stalledAfterMs = 60_000

/** Saves every city through TypeORM while the workers index. */
export async function load(application: Application): Promise<void> {
  const { screen, data, dataSource } = application
  const total = data.cities.length
  screen.step(
    'Load',
    `The application saves ${formatCount(total)} cities through TypeORM, ${formatCount(rowsPerTransaction)} a ` +
      'transaction. Redstream hears of every row and passes its id on; meanwhile the consumers read the rows and ' +
      'index them. Elasticsearch never holds the application up.',
  )
  await dataSource.manager.save(Country, [...data.countries])

  const progress = screen.progress([
    { label: 'rows written', total },
    { label: 'documents found', total },
  ])
  const begin = performance.now()
  const state = { written: 0, writtenAt: 0, failure: undefined as unknown, stop: false }
  const writing = write(application, state).catch((error: unknown) => {
    state.failure = error ?? new Error('the load failed')
  })
  try {
    await watch(application, state, progress.update)
  } finally {
    state.stop = true
    await writing
    progress.stop()
  }
  const writeMs = state.writtenAt - begin
  const indexMs = performance.now() - begin
  screen.line(
    `${formatCount(total)} rows written in ${formatTime(writeMs)} (${formatCount(rate(total, writeMs))}/s); ` +
      `all documents found after ${formatTime(indexMs)} (${formatCount(rate(total, indexMs))}/s), ` +
      `${formatTime(indexMs - writeMs)} after the last commit`,
  )
}

interface LoadState {
  written: number
  writtenAt: number
  failure: unknown
  stop: boolean
}

async function write({ data, dataSource }: Application, state: LoadState): Promise<void> {
  const countries = new Map(data.countries.map((country) => [country.code, country]))
  for (let first = 0; first < data.cities.length && !state.stop; first += rowsPerTransaction) {
    const rows = data.cities.slice(first, first + rowsPerTransaction)
    await dataSource.transaction((manager) =>
      manager.save(
        City,
        rows.map((row) => manager.create(City, { ...columnsOf(row), country: countries.get(row.country)! })),
      ),
    )
    state.written += rows.length
  }
  state.writtenAt = performance.now()
}

function columnsOf({ name, lat, lng, admin1, admin2 }: SourceCity) {
  return { name, lat: Number(lat), lng: Number(lng), admin1, admin2 }
}

/** Returns when every document is found by a search. */
async function watch(
  application: Application,
  state: LoadState,
  update: (values: readonly number[]) => void,
): Promise<void> {
  const total = application.data.cities.length
  let moved = { at: performance.now(), sum: 0 }
  for (;;) {
    const documents = await countDocuments(application)
    update([state.written, documents])
    check(application)
    if (state.failure !== undefined) throw state.failure
    if (documents === total) return
    const sum = state.written + documents
    const now = performance.now()
    if (sum !== moved.sum) moved = { at: now, sum }
    else if (now - moved.at > stalledAfterMs) {
      throw new Error(
        `nothing was indexed for ${formatTime(stalledAfterMs)}: ${documents} of ${total} documents are there`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
  }
}
