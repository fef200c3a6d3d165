import { readFileSync } from 'node:fs'

import type { Cluster, Redis } from 'ioredis'

/** A connection of ioredis; every command used here exists on both. */
export type RedisClient = Redis | Cluster

const numberOfKeys = {
  publish: 2,
  queue: 2,
  requeue: 2,
  named: 1,
  ticket: 2,
  acknowledge: 2,
  settle: 2,
  bury: 1,
  heartbeat: 1,
  leave: 1,
  clock: 1,
  serve: 1,
  drop: 3,
  reindex: 2,
  drive: 1,
  copied: 2,
  pace: 1,
  note: 1,
} as const

/** The scripts in `scripts/`, one file each; its header says what it takes and returns. */
export type ScriptName = keyof typeof numberOfKeys

type Command = (...keysAndArguments: (string | number)[]) => Promise<unknown>

const sources = new Map(
  (Object.keys(numberOfKeys) as ScriptName[]).map((name) => [
    name,
    readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8'),
  ]),
)

/** Makes the scripts callable on a connection. ioredis sends their hash and falls back to the text when Redis has lost it. */
export function defineScripts(redis: RedisClient): void {
  for (const [name, lua] of sources) {
    redis.defineCommand(commandName(name), { lua, numberOfKeys: numberOfKeys[name] })
  }
}

/** Runs a script: its keys, then its arguments. Values travel as arguments and never become Lua code. */
export function runScript(
  redis: RedisClient,
  name: ScriptName,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  const command = (redis as unknown as Record<string, Command>)[commandName(name)]
  if (command === undefined) throw new TypeError(`the script ${name} is not defined on this connection`)
  return command.apply(redis, [...keys, ...args])
}

function commandName(name: ScriptName): string {
  return `redstream:${name}`
}
