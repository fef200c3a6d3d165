/** A name as PostgreSQL's SQL has it. TypeORM 0.3's drivers leave quotes in names as they are. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text as PostgreSQL's SQL has it. */
export function quoteText(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return text.includes('\\') ? `E${quoted}` : quoted
}

/** A text between tags that it does not hold: such a text can be read. */
export function dollarQuoted(text: string): string {
  let tag = '$redstream$'
  while (text.includes(tag)) tag = tag.replace('$r', '$_r')
  return `${tag}${text}${tag}`
}
