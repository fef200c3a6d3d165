import type { Services } from '../indexed.ts'

/** `services` of the configuration: what `document()` may use, or how to make it. */
export type GivenServices = Services | (() => Services | Promise<Services>)

/** Makes the services with the first batch, for all that follow: `status` and the like have no use for them. */
export function madeOnce(given: GivenServices | undefined): () => Promise<Services> {
  const services = given ?? {}
  let made: Promise<Services> | undefined
  return async () => {
    made ??= Promise.resolve(typeof services === 'function' ? services() : services)
    try {
      return await made
    } catch (error) {
      made = undefined
      throw error
    }
  }
}
