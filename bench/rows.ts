import type { DataSource } from 'typeorm'

import { dateColumns, numberColumns, space, textColumns } from './entities.ts'

/** Made rows: the database makes them, so that a million takes seconds. */

/** Fills a table of cities. */
export async function fillCities(
  dataSource: DataSource,
  table: 'cities' | 'places',
  rows: number,
): Promise<void> {
  await dataSource.query(
    `INSERT INTO "${space}".${table} (name, country, latitude, longitude, population)
     SELECT 'City ' || md5(i::text), chr(65 + i % 26) || chr(65 + i / 26 % 26), (i % 18000) / 100.0 - 90,
            (i % 36000) / 100.0 - 180, i::bigint * 7919 % 10000000
     FROM generate_series(1, $1::integer) AS i`,
    [rows],
  )
  await dataSource.query(`ANALYZE "${space}".${table}`)
}

export async function fillProducts(dataSource: DataSource, rows: number): Promise<void> {
  await dataSource.query(
    `INSERT INTO "${space}".brands (name) SELECT 'Brand ' || i FROM generate_series(1, 500) AS i`,
  )
  await dataSource.query(
    `INSERT INTO "${space}".categories (name) SELECT 'Category ' || i FROM generate_series(1, 200) AS i`,
  )
  const columns = [...textColumns, ...numberColumns, ...dateColumns].map((name) => `"${name}"`).join(', ')
  const values = [
    ...textColumns.map((_, n) => `'Text ${n} of product ' || i`),
    ...numberColumns.map((_, n) => `i * ${n + 1} % 100000`),
    ...dateColumns.map((_, n) => `timestamptz '2026-01-01' + (i + ${n}) * interval '1 minute'`),
  ].join(', ')
  await dataSource.query(
    `INSERT INTO "${space}".products ("brandId", ${columns})
     SELECT i % 500 + 1, ${values} FROM generate_series(1, $1::integer) AS i`,
    [rows],
  )
  await dataSource.query(
    `INSERT INTO "${space}".product_categories
     SELECT i, (i * 3 + c * 67) % 200 + 1 FROM generate_series(1, $1::integer) AS i, generate_series(0, 2) AS c`,
    [rows],
  )
  await dataSource.query(`ANALYZE "${space}".products`)
}
