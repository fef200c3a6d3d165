import { muchAndManyAreSeen } from './together.ts'
import { witnesses } from './witness.ts'
import { everyWriteIsAsDocumented } from './writes.ts'

everyWriteIsAsDocumented(witnesses.trigger)
muchAndManyAreSeen(witnesses.trigger)
