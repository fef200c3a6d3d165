#!/usr/bin/env node
import { enableCompileCache } from 'node:module'

import { limitYoung } from '../dist/cli/heap.js'

// Later starts take less time. A directory that cannot be written is no error.
enableCompileCache()
limitYoung()
const { main } = await import('../dist/cli/main.js')
const code = await main(process.argv)
// What the configuration opened (pools, timers) must not keep the process; the callback waits for stdout.
process.stdout.write('', () => process.exit(code))
