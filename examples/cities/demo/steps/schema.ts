import { escapeIdentifier } from 'pg'
import type { DataSource } from 'typeorm'

import { redstream } from '../command-line.ts'
import type { Stage } from '../stage.ts'

/** Tables in PostgreSQL; index, alias and consumer group by `redstream init`. */
export async function createSchema(stage: Stage, dataSource: DataSource): Promise<void> {
  const { screen, workspace, signal } = stage
  screen.step(
    'Schema',
    'TypeORM creates the tables of the entities City and Country. `redstream init` creates the index: its mapping ' +
      'follows from the column types, and the location, a geo_point, is given in the decorator.',
  )
  await dataSource.query(`CREATE SCHEMA ${escapeIdentifier(workspace.schema)}`)
  await dataSource.synchronize()
  screen.line(`tables: ${dataSource.entityMetadatas.map(({ tableName }) => tableName).join(', ')}`)
  const report = await redstream(['init'], signal)
  screen.line(`redstream init: ${report.replaceAll(/ +/g, ' ')}`)
}
