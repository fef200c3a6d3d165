import type { QueryRunner } from 'typeorm'
import { z } from 'zod'

const functionSchema = z.object({
  name: z.string(),
  body: z.string(),
  settings: z.array(z.string()),
  definer: z.boolean(),
  /** What was made there, as the comment says. */
  version: z.string(),
})

const triggerSchema = z.object({
  schema: z.string(),
  relation: z.string(),
  name: z.string(),
  function: z.string(),
  /** Bits of `pg_trigger.tgtype`. */
  type: z.coerce.number(),
  enabled: z.string(),
  before: z.string().nullable(),
  after: z.string().nullable(),
})

export type InstalledFunction = z.infer<typeof functionSchema>
export type InstalledTrigger = z.infer<typeof triggerSchema>

/** The functions and triggers that the database has. */
export interface Installed {
  readonly functions: readonly InstalledFunction[]
  readonly triggers: readonly InstalledTrigger[]
}

/** Before the version in the comment of a function. */
const commentBegins = 'redstream version '

/** The comment of a function, by which it is known later. */
export function commentOf(version: string): string {
  return `${commentBegins}${version}`
}

/** What `redstream init` made in a schema, for whatever configuration. */
export async function readInstalled(queryRunner: QueryRunner, captureSchema: string): Promise<Installed> {
  const functions: unknown = await queryRunner.query(
    `SELECT p.proname AS name, p.prosrc AS body, coalesce(p.proconfig, '{}') AS settings, p.prosecdef AS definer,
       substr(obj_description(p.oid, 'pg_proc'), length($2) + 1) AS version
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = $1 AND starts_with(obj_description(p.oid, 'pg_proc'), $2) ORDER BY p.proname`,
    [captureSchema, commentBegins],
  )
  const triggers: unknown = await queryRunner.query(
    `SELECT n.nspname AS schema, c.relname AS relation, t.tgname AS name, p.proname AS function, t.tgtype AS type,
       t.tgenabled AS enabled, t.tgoldtable AS before, t.tgnewtable AS after
     FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
     WHERE f.nspname = $1 AND NOT t.tgisinternal AND starts_with(t.tgname, 'redstream_')
     ORDER BY n.nspname, c.relname, t.tgname`,
    [captureSchema],
  )
  return {
    functions: z.array(functionSchema).parse(functions),
    triggers: z.array(triggerSchema).parse(triggers),
  }
}
