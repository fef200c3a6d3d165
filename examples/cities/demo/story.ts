import { Client } from '@elastic/elasticsearch'
import { Redstream } from 'redstream'

import { dataSource } from '../data-source.ts'
import type { Comparison } from './comparison.ts'
import type { Application, Stage } from './stage.ts'
import { bulkUpdate } from './steps/bulk-update.ts'
import { compare } from './steps/compare.ts'
import { crash } from './steps/crash.ts'
import { edit } from './steps/edit.ts'
import { load } from './steps/load.ts'
import { remove } from './steps/remove.ts'
import { createSchema } from './steps/schema.ts'
import { search } from './steps/search.ts'
import { startWorkers } from './steps/start-workers.ts'

/** Everything after the servers are there: the application, as a user of Redstream would write it. */
export async function tell(stage: Stage): Promise<Comparison> {
  const elasticsearch = new Client({ node: stage.workspace.environment['ELASTICSEARCH_URL'] ?? '' })
  await dataSource.initialize()
  try {
    await createSchema(stage, dataSource)
    await startWorkers(stage)
    const redstream = await Redstream.attach(dataSource)
    try {
      return await play({ ...stage, dataSource, redstream, elasticsearch })
    } finally {
      await redstream.close()
    }
  } finally {
    await dataSource.destroy()
    await elasticsearch.close()
  }
}

async function play(application: Application): Promise<Comparison> {
  await load(application)
  await search(application)
  await edit(application)
  await bulkUpdate(application)
  await remove(application)
  await crash(application)
  return compare(application)
}
