// Runs one of the project's tasks: `node scripts/run.mjs TASK [ARGUMENTS]`. Every npm script goes through it, so that
// each works by itself in a fresh clone: it installs and builds what is missing or stale, and then runs the task with
// Node 24. Plain JavaScript without dependencies, because it must run on Node 20 before anything is installed.
if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(
    'The tasks of this project need Node 20 or newer (Redstream itself 22.12), this is ' +
      process.version +
      '.',
  )
  process.exit(1)
}
import('./set-up/run-task.mjs')
  .then(({ runTask }) => runTask(process.argv[2], process.argv.slice(3)))
  .then(
    (exitCode) => process.exit(exitCode),
    (error) => {
      console.error(error.isExpected ? error.message : error)
      process.exit(1)
    },
  )
