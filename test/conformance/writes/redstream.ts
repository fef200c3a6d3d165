import { Booking, Offer, Owner, Shop } from '../shop.ts'
import type { Group } from './scene.ts'

/** Writes by Redstream's own methods. */
export const redstreamWrites: Group = {
  writes: {
    'redstream.update': ({ redstream, manager, label }) =>
      redstream.update(Shop, { name: label }, { name: 'gone' }, { manager }),
    'redstream.update of a child': ({ redstream, manager, shops: [shop, other] }) =>
      redstream.update(Offer, { shop: { id: shop.id } }, { shop: other }, { manager }),
    'redstream.delete': ({ redstream, manager, label }) =>
      redstream.delete(Shop, { name: label }, { manager }),
    'redstream.delete of an embedded row': ({ redstream, manager, owners: [{ id }] }) =>
      redstream.delete(Owner, { id }, { manager }),
    'redstream.insert': ({ redstream, manager, label }) =>
      redstream.insert(
        Booking,
        [3, 4].map((day) => ({ room: label, day, guest: 'Fay' })),
        { manager },
      ),
    'redstream.bulk around raw SQL': ({ redstream, manager, shops: [{ id }] }) =>
      redstream.bulk(Shop, { id }, () => manager.query('UPDATE shops SET visits = 77 WHERE id = $1', [id]), {
        manager,
      }),
    'redstream.bulk around a delete': ({ redstream, manager, label }) =>
      redstream.bulk(
        Booking,
        { room: label },
        () => manager.query('DELETE FROM bookings WHERE room = $1', [label]),
        { manager },
      ),
    'redstream.touch after raw SQL': async ({ redstream, manager, shops: [{ id }] }) => {
      await manager.query('UPDATE shops SET visits = 78 WHERE id = $1', [id])
      await redstream.touch(Shop, id, { manager })
    },
    'redstream.bulkQueue after raw SQL': async ({ redstream, dataSource, label }) => {
      await dataSource.query('UPDATE shops SET visits = 79 WHERE name = $1', [label])
      await redstream.bulkQueue(Shop, { name: label })
    },
  },
}
