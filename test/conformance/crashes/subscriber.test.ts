import { crashesAreHealed } from '../crashes.ts'
import { witnesses } from '../witness.ts'

crashesAreHealed(witnesses.subscriber)
