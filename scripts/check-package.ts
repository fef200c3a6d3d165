/**
 * Checks the package as users get it: packs it, runs publint and are-the-types-wrong on the tarball, installs it into
 * an empty project, and loads it as an ES module and from CommonJS.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { execa } from 'execa'

const project = path.resolve(import.meta.dirname, '..')
const folder = await mkdtemp(path.join(tmpdir(), 'redstream-package-'))
const run = execa({ cwd: project, stdout: 'inherit', stderr: 'inherit', preferLocal: true })

try {
  const { stdout } = await execa({
    cwd: project,
  })`npm pack --json --ignore-scripts --pack-destination ${folder}`
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  const tarball = path.join(folder, packed.filename)
  const files = new Set(packed.files.map((file) => file.path))
  for (const needed of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/streams/scripts/ticket.lua',
    'bin/redstream.js',
  ]) {
    if (!files.has(needed)) throw new Error(`the package lacks ${needed}`)
  }
  await run`publint run ${tarball} --strict`
  // Node ≥ 22.12 requires ES modules; that it works is shown below.
  await run`attw ${tarball} --profile node16 --ignore-rules cjs-resolves-to-esm`

  // Node resolves the peers and dependencies from the project's own node_modules, two folders up.
  const consumer = await mkdtemp(path.join(project, 'node_modules', '.package-check-'))
  try {
    const installed = path.join(consumer, 'node_modules', 'redstream')
    await execa`mkdir -p ${installed}`
    await execa`tar -xzf ${tarball} -C ${installed} --strip-components=1`
    const check = `if (typeof Redstream.attach !== 'function' || typeof Indexed !== 'function') throw new Error('exports are missing')`
    await writeFile(
      path.join(consumer, 'esm.mjs'),
      `import { Redstream, Indexed } from 'redstream'\n${check}\n`,
    )
    await writeFile(
      path.join(consumer, 'cjs.cjs'),
      `const { Redstream, Indexed } = require('redstream')\n${check}\n`,
    )
    await run`${process.execPath} ${path.join(consumer, 'esm.mjs')}`
    await run`${process.execPath} ${path.join(consumer, 'cjs.cjs')}`
    await run`${process.execPath} ${path.join(installed, 'bin', 'redstream.js')} --version`
  } finally {
    await rm(consumer, { recursive: true, force: true })
  }
  process.stdout.write(`the package holds ${files.size} files and loads as ES module and from CommonJS\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}
