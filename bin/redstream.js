#!/usr/bin/env node
import { keepYoungSmall } from '../dist/cli/heap.js'

keepYoungSmall()
const { main } = await import('../dist/cli/main.js')
const code = await main(process.argv)
// What the configuration opened (pools, timers) must not keep the process; the callback waits for stdout.
process.stdout.write('', () => process.exit(code))
