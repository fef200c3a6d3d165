import { readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

import { metrics, type MetricRow } from '../../src/runtime/metrics-table.ts'

const rows: MetricRow[] = Object.values(metrics)

function read(name: string): string {
  return readFileSync(path.join(import.meta.dirname, '../../config', name), 'utf8')
}

/** The names that queries of a metric use. */
const known = new Map(
  rows.flatMap((row) =>
    (row.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']).map((suffix) => [
      row.name + suffix,
      row,
    ]),
  ),
)

interface Rule {
  alert: string
  expr: string
  labels: { severity: string }
  annotations: { summary: string; description?: string }
}

interface Dashboard {
  panels: { id: number; title: string; targets: { expr: string }[] }[]
  templating: { list: { query: string | { query: string } }[] }
}

const rules = (parse(read('alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  ({ rules }) => rules,
)
const dashboard = JSON.parse(read('grafana.json')) as Dashboard

const queries = [
  ...rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, query: expr })),
  ...dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => ({ where: `panel ${title}`, query: expr })),
  ),
  ...dashboard.templating.list.map(({ query }) => ({
    where: 'a variable',
    query: typeof query === 'string' ? query : query.query,
  })),
]

describe('alerts and dashboard', () => {
  it.each(queries)('$where uses metrics and labels of the table: $query', ({ query }) => {
    for (const [, name, selector = ''] of query.matchAll(/\b(redstream_\w+)(?:\{([^}]*)\})?/g)) {
      expect([...known.keys()]).toContain(name)
      const labels = [...selector.matchAll(/(\w+)\s*(?:=~?|!~|!=)/g)].map(([, label]) => label)
      expect(known.get(name!)!.labels).toEqual(expect.arrayContaining(labels))
    }
    // By and on name labels of some metric in the same query.
    const used = [...query.matchAll(/\bredstream_\w+/g)].flatMap(([name]) => known.get(name)?.labels ?? [])
    for (const [, list] of query.matchAll(/\b(?:by|on) \(([^)]*)\)/g)) {
      for (const label of list!.split(/,\s*/)) expect([...used, 'le']).toContain(label)
    }
  })

  it('each alert says what it means, and has a name of its own', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
    for (const { alert, labels, annotations } of rules) {
      expect(alert).toMatch(/^Redstream[A-Z]\w+$/)
      expect(labels.severity).toMatch(/^(?:info|warning|critical)$/)
      expect(annotations.summary).toMatch(/\.$/)
    }
  })

  it('the example of Prometheus loads the alerts', () => {
    const { rule_files: files, scrape_configs: jobs } = parse(read('prometheus.yml')) as {
      rule_files: string[]
      scrape_configs: { static_configs: { targets: string[] }[] }[]
    }
    expect(files).toEqual(['alerts.yml'])
    expect(jobs[0]!.static_configs[0]!.targets).not.toEqual([])
  })
})
