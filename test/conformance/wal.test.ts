import { muchAndManyAreSeen } from './together.ts'
import { witnesses } from './witness.ts'
import { everyWriteIsAsDocumented } from './writes.ts'

everyWriteIsAsDocumented(witnesses.wal)
muchAndManyAreSeen(witnesses.wal)
