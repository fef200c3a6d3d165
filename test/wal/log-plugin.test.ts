import * as fc from 'fast-check'
import { PgoutputPlugin } from 'pg-logical-replication'
import { describe, expect, it } from 'vitest'

import { LogPlugin, type LogMessage } from '../../src/wal/log-plugin.ts'

// What the server sends: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.from(`${value}\0`)

/** A message, with the transaction's number when it is in a block. */
const message = (tag: string, xid: number | undefined, ...parts: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from(tag), ...(xid === undefined ? [] : [int32(xid)]), ...parts])

const relation = (xid?: number): Buffer =>
  message(
    'R',
    xid,
    int32(16_384),
    text('public'),
    text('cities'),
    Buffer.from('d'),
    int16(1),
    Buffer.from([1]),
    text('id'),
    int32(25),
    int32(0xffff_ffff),
  )

const insert = (id: string, xid?: number): Buffer => {
  const value = Buffer.from(id)
  return message(
    'I',
    xid,
    int32(16_384),
    Buffer.from('N'),
    int16(1),
    Buffer.from('t'),
    int32(value.length),
    value,
  )
}

const pluginOf = (): LogPlugin =>
  new LogPlugin(new PgoutputPlugin({ protoVersion: 2, publicationNames: ['p'] }), 'p')

/** What is compared of a message. */
function shown(read: LogMessage): unknown {
  if (read.kind === 'broken') throw read.error
  if (read.kind !== 'change') return read
  const { change, xid } = read
  if (change.tag === 'insert') return { insert: change.new['id'] as string, xid }
  return { tag: change.tag, xid }
}

const xids = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const positions = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })

/** A piece of the log: its bytes, and what is read of them. */
const piece: fc.Arbitrary<{ bytes: Buffer[]; expected: unknown[] }> = fc.oneof(
  fc.tuple(xids, positions, fc.array(fc.string())).map(([xid, end, ids]) => ({
    bytes: [
      message('B', undefined, int64(1n), int64(0n), int32(xid)),
      ...ids.map((id) => insert(id)),
      message('C', undefined, Buffer.from([0]), int64(1n), int64(end), int64(0n)),
    ],
    expected: [{ kind: 'begin', xid }, ...ids.map((id) => ({ insert: id })), { kind: 'commit', end }],
  })),
  fc.tuple(xids, fc.array(fc.tuple(xids, fc.string()))).map(([xid, rows]) => ({
    bytes: [
      message('S', undefined, int32(xid), Buffer.from([1])),
      relation(xid),
      ...rows.map(([savepoint, id]) => insert(id, savepoint)),
      message('E', undefined),
    ],
    expected: [
      { kind: 'block', xid },
      { tag: 'relation', xid },
      ...rows.map(([savepoint, id]) => ({ insert: id, xid: savepoint })),
      { kind: 'block end' },
    ],
  })),
  fc.tuple(xids, positions).map(([xid, end]) => ({
    bytes: [message('c', undefined, int32(xid), Buffer.from([0]), int64(1n), int64(end), int64(0n))],
    expected: [{ kind: 'block commit', xid, end }],
  })),
  fc.tuple(xids, xids).map(([xid, savepoint]) => ({
    bytes: [message('A', undefined, int32(xid), int32(savepoint))],
    expected: [{ kind: 'block abort', xid, savepoint }],
  })),
)

describe('the plugin', () => {
  it('reads transactions and blocks of others in any order', () => {
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const plugin = pluginOf()
        expect(shown(plugin.parse(relation()))).toEqual({ tag: 'relation' })
        const read = pieces.flatMap(({ bytes }) => bytes.map((one) => shown(plugin.parse(one))))
        expect(read).toEqual(pieces.flatMap(({ expected }) => expected))
      }),
    )
  })

  it('leaves the bytes as they are', () => {
    const plugin = pluginOf()
    const start = message('S', undefined, int32(7), Buffer.from([1]))
    for (const bytes of [start, relation(7), insert('x', 7)]) {
      const before = Buffer.from(bytes)
      plugin.parse(bytes)
      expect(bytes).toEqual(before)
    }
  })

  it('never throws: an error in the middle of the socket’s events would end the process', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(pluginOf().parse(Buffer.from(bytes))).toHaveProperty('kind')
      }),
    )
  })
})
