import { Column, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import type { AttachOptions } from '../../src/redstream.ts'
import { indexNamed } from '../support/shapes.ts'
import { workshop, type Workshop } from '../support/workshop.ts'

@Entity()
class Tenant {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  code!: string
}

/** Its routing has an answer for rows whose tenant is not loaded, and it is a wrong one. */
@Indexed<Invoice>({
  index: indexNamed('invoices'),
  relations: { tenant: true },
  routing: ({ tenant }) => tenant?.code ?? 'none',
  settings: { number_of_shards: 5 },
})
@Entity()
class Invoice {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Tenant, { nullable: true })
  tenant!: Relation<Tenant> | null
}

let app: Workshop
afterEach(() => app.dispose())

async function places(): Promise<string[]> {
  await app.redstream.drained()
  const client = app.space.elasticsearch()
  const index = `${app.space.indexPrefix}invoices`
  await client.indices.refresh({ index })
  const { hits } = await client.search({ index, size: 100 })
  return hits.hits.map(({ _id, _routing }) => `${_id}@${_routing}`).toSorted()
}

const ids = [1, 2, 3, 4, 5, 6]

test.each<AttachOptions['returning']>(['on', 'off'])(
  'documents that a relation routes move with it, returning "%s"',
  async (returning) => {
    app = await workshop([Tenant, Invoice], { returning })
    app.start('consumer')
    await app.save(Tenant, ...ids.map((id) => ({ id, code: `t${id}` })))
    await app.save(Invoice, ...ids.map((id) => ({ id, tenant: { id } })))
    expect(await places()).toEqual(ids.map((id) => `${id}@t${id}`))
    await app.save(Invoice, ...ids.map((id) => ({ id, tenant: null })))
    expect(await places()).toEqual(ids.map((id) => `${id}@none`))
    await app.save(Invoice, ...ids.map((id) => ({ id, tenant: { id } })))
    expect(await places()).toEqual(ids.map((id) => `${id}@t${id}`))
    const { manager } = app.dataSource
    await manager.remove(await manager.find(Invoice))
    expect(await places()).toEqual([])
  },
)
