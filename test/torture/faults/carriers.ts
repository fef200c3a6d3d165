import { wait, type FaultContext } from './context.ts'

/** Stops a Relay or a Follower with SIGSTOP, so that another one must do its work, and lets it go on. */
export async function pauseCarriers(context: FaultContext): Promise<void> {
  const { crew, random, count } = context
  while (await wait(context, 1_500, 5_000)) {
    const carriers = [...crew.of('relay'), ...crew.of('follower')]
    if (carriers.length === 0) continue
    const carrier = random.pick(carriers)
    carrier.pause()
    count('carriers paused')
    await wait(context, 1_000, 5_000)
    carrier.resume()
  }
}

/** Breaks the way of Relays and Followers to the database. */
export async function disturbCarriers(context: FaultContext): Promise<void> {
  const { stage, crew, random, count } = context
  const { databaseProxy } = stage
  while (await wait(context, 1_500, 5_000)) {
    if (!crew.has('relay') && !crew.has('follower')) continue
    switch (random.weighted({ cut: 3, refuse: 2, 'half-open': 2 })) {
      case 'cut':
        databaseProxy.cut()
        count('carriers cut off the database')
        break
      case 'refuse':
        await databaseProxy.refuse()
        await wait(context, 500, 3_000)
        await databaseProxy.accept()
        count('carriers kept off the database')
        break
      case 'half-open':
        databaseProxy.silence()
        count('carriers half-open to the database')
        await wait(context, 2_000, 6_000)
        // As a network that knows its dead in the end.
        databaseProxy.cut()
    }
  }
}
