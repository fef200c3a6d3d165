import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(import.meta.dirname, '../..')

/** An application's folder with files of a test. */
export interface Project {
  readonly directory: string
  file(name: string): string
  dispose(): void
}

/**
 * Writes files into a folder of their own inside the repository, so that packages resolve from there.
 *
 * @param files - contents by relative path; package.json is written empty unless given
 */
export function createProject(files: Readonly<Record<string, string>>): Project {
  mkdirSync(path.join(root, '.cache'), { recursive: true })
  const directory = mkdtempSync(path.join(root, '.cache', 'project-'))
  // What is compiled of it is kept there, and goes with it.
  mkdirSync(path.join(directory, 'node_modules'))
  for (const [name, content] of Object.entries({ 'package.json': '{}', ...files })) {
    const file = path.join(directory, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, content)
  }
  return {
    directory,
    file: (name) => path.join(directory, name),
    dispose: () => rmSync(directory, { recursive: true, force: true }),
  }
}
