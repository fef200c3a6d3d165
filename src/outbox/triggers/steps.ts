import type { DatabaseStep } from '../../capture/database-objects.ts'
import { commentOf, type Installed, type InstalledFunction, type InstalledTrigger } from './installed.ts'
import { dollarQuoted, quoteName, quoteText } from './sql.ts'
import { versionOf, type TriggerEvent, type WantedFunction, type WantedRelation } from './wanted.ts'

interface EventForm {
  readonly clause: string
  /** As `pg_trigger.tgtype` has it. */
  readonly type: number
  readonly before: string | null
  readonly after: string | null
}

const forms: Readonly<Record<TriggerEvent, EventForm>> = {
  insert: { clause: 'AFTER INSERT', type: 4, before: null, after: 'inserted' },
  update: { clause: 'AFTER UPDATE', type: 16, before: 'deleted', after: 'inserted' },
  delete: { clause: 'AFTER DELETE', type: 8, before: 'deleted', after: null },
  truncate: { clause: 'BEFORE TRUNCATE', type: 34, before: null, after: null },
}

/** Also where `session_replication_role` is `replica`, with which imports switch off triggers and constraints. */
const enabledAlways = 'A'

/** What is to be done so that a relation has what it should. Functions alone are replaced without a lock on the table. */
export function stepOf(
  wanted: WantedRelation,
  { functions, triggers }: Installed,
  captureSchema: string,
): DatabaseStep {
  const { relation } = wanted
  const here = triggers.filter((one) => isOn(one, relation))
  const problems: string[] = []
  const sql: string[] = []
  for (const one of wanted.functions) {
    const found = functions.find(({ name }) => name === one.name)
    if (found !== undefined && isSame(found, one)) continue
    problems.push(`the function ${one.name} ${found ? whyReplaced(found, one) : 'is missing'}`)
    sql.push(...makeFunction(one, captureSchema))
  }
  for (const one of wanted.triggers) {
    const found = here.find(({ name }) => name === one.name)
    const problem = found === undefined ? 'is missing' : triggerProblem(found, one)
    if (problem === undefined) continue
    problems.push(`the trigger for ${one.event.toUpperCase()} ${problem}`)
    sql.push(...makeTrigger(one, wanted, captureSchema))
  }
  const object = objectOf(relation)
  if (sql.length === 0) return { object, action: 'nothing', sql: '' }
  const isNew = !wanted.triggers.some(({ name }) => here.some((one) => one.name === name))
  if (isNew) return { object, action: 'create', sql: sql.join(';\n') }
  return { object, action: 'replace', reason: problems.join('; '), sql: sql.join(';\n') }
}

/** What is to be done about that which nobody wants: first the triggers of each relation, then the functions. */
export function dropSteps(
  wanted: readonly WantedRelation[],
  { functions, triggers }: Installed,
  captureSchema: string,
): DatabaseStep[] {
  const unwanted = triggers.filter(
    (one) =>
      !wanted.some(
        ({ relation, triggers: kept }) => isOn(one, relation) && kept.some(({ name }) => name === one.name),
      ),
  )
  const byRelation = Map.groupBy(unwanted, ({ schema, relation }) => objectOf({ schema, name: relation }))
  const kept = new Set(wanted.flatMap((one) => one.functions.map(({ name }) => name)))
  const gone = functions.filter(({ name }) => !kept.has(name))
  return [
    ...[...byRelation].map(([object, ofRelation]): DatabaseStep => ({
      object,
      action: 'drop',
      sql: ofRelation
        .map(
          ({ name, schema, relation }) =>
            `DROP TRIGGER ${quoteName(name)} ON ${quoteName(schema)}.${quoteName(relation)}`,
        )
        .join(';\n'),
    })),
    ...gone.map(({ name }): DatabaseStep => ({
      object: `function ${captureSchema}.${name}`,
      action: 'drop',
      sql: `DROP FUNCTION ${quoteName(captureSchema)}.${quoteName(name)}()`,
    })),
  ]
}

function objectOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `triggers of ${schema}.${name}`
}

function isOn(trigger: InstalledTrigger, { schema, name }: WantedRelation['relation']): boolean {
  return trigger.schema === schema && trigger.relation === name
}

function isSame(found: InstalledFunction, wanted: WantedFunction): boolean {
  return found.definer && found.version === wanted.version && isAsMade(found)
}

function isAsMade({ body, settings, version }: InstalledFunction): boolean {
  return versionOf(body, settings) === version
}

function whyReplaced(found: InstalledFunction, wanted: WantedFunction): string {
  if (!found.definer || !isAsMade(found)) return 'was altered by hand'
  return `is of another declaration or version (${found.version}, now ${wanted.version})`
}

function triggerProblem(
  found: InstalledTrigger,
  wanted: WantedRelation['triggers'][number],
): string | undefined {
  const { type, before, after } = forms[wanted.event]
  if (found.enabled === 'D') return 'is disabled'
  const isAsWanted =
    found.function === wanted.function &&
    found.type === type &&
    found.before === before &&
    found.after === after &&
    found.enabled === enabledAlways
  return isAsWanted ? undefined : 'was altered by hand'
}

function makeFunction({ name, body, settings, version }: WantedFunction, schema: string): string[] {
  const called = `${quoteName(schema)}.${quoteName(name)}()`
  const set = settings.map((setting) => {
    const [variable, value] = setting.split('=')
    return ` SET ${variable} = ${value!.split(', ').map(quoteText).join(', ')}`
  })
  return [
    `CREATE OR REPLACE FUNCTION ${called} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER${set.join('')} AS ${dollarQuoted(body)}`,
    `COMMENT ON FUNCTION ${called} IS ${quoteText(commentOf(version))}`,
    // Otherwise whoever may use the schema could put it on a table of his own.
    `REVOKE ALL ON FUNCTION ${called} FROM PUBLIC`,
  ]
}

function makeTrigger(
  { event, name, function: called }: WantedRelation['triggers'][number],
  { relation }: WantedRelation,
  schema: string,
): string[] {
  const table = `${quoteName(relation.schema)}.${quoteName(relation.name)}`
  const { clause, before, after } = forms[event]
  const transition = [
    ...(before === null ? [] : [`OLD TABLE AS ${before}`]),
    ...(after === null ? [] : [`NEW TABLE AS ${after}`]),
  ]
  const referencing = transition.length === 0 ? '' : ` REFERENCING ${transition.join(' ')}`
  return [
    `CREATE OR REPLACE TRIGGER ${quoteName(name)} ${clause} ON ${table}${referencing} FOR EACH STATEMENT EXECUTE FUNCTION ${quoteName(schema)}.${quoteName(called)}()`,
    `ALTER TABLE ONLY ${table} ENABLE ALWAYS TRIGGER ${quoteName(name)}`,
  ]
}
