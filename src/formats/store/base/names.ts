import { FormatError } from '../../format-error.ts';
import type { Fields } from './json-record.ts';

/*
 * Names become parts of paths, of export names and of commands, and anyone who can write to a store may have written
 * those in its records: a record with a name that could lead elsewhere counts as damaged.
 */

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** The longest are those of recovery points: a machine's name, a time and random digits. */
export const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const SHOWN_MAX = 100;

/** A name of a set, a machine, a disk, or a file of a machine. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** An ID of a recovery point or a session; names pass too. */
export function isId(text: string): boolean {
  return ID.test(text);
}

export function nameIn(fields: Fields, field: string): string {
  return matching(fields, field, NAME);
}

/** The ID of a recovery point or a session; names pass too. */
export function idIn(fields: Fields, field: string): string {
  return matching(fields, field, ID);
}

function matching(fields: Fields, field: string, pattern: RegExp): string {
  const found = fields.text(field);
  if (pattern.test(found)) return found;
  const shown = JSON.stringify(found.slice(0, SHOWN_MAX));
  throw new FormatError('CORRUPT', `record's "${field}" is not a name: ${shown}`);
}

/** What is kept of two of one name would be kept in the same files. Throws CORRUPT. */
export function requireDistinct<T extends { readonly name: string }>(
  named: T[],
  what: string,
): T[] {
  const seen = new Set<string>();
  for (const { name } of named) {
    if (seen.has(name)) throw new FormatError('CORRUPT', `record has two ${what} "${name}"`);
    seen.add(name);
  }
  return named;
}
