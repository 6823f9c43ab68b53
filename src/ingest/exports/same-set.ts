import { CatalogError } from '../../catalog/catalog-error.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { isSealedBy, type SetRecord } from '../../formats/store/catalog/set-record.ts';

/* Whether points of an export may go to a set that the store has. */

/** Throws EXISTS: the record in this store cannot be that of the opened set. */
export function requireSameSet(here: SetRecord, { name, record, keys }: OpenSet): void {
  requireSameKind(here, record, name);
  if (here.seal !== undefined && !isSealedBy(here, keys.record)) {
    throw clash(name, 'has another key');
  }
}

/** What can be compared without a key. */
export function requireSameKind(here: SetRecord, there: SetRecord, name: string): void {
  const problem = difference(here, there);
  if (problem !== undefined) throw clash(name, problem);
}

function difference(here: SetRecord, there: SetRecord): string | undefined {
  const [isEncrypted, wasEncrypted] = [here.slots.length > 0, there.slots.length > 0];
  if (isEncrypted && !wasEncrypted) return 'is encrypted, and the one in the file is not';
  if (!isEncrypted && wasEncrypted) return 'is not encrypted, and the one in the file is';
  if (Buffer.compare(here.domain, there.domain) !== 0) return 'has another key';
  if (!isEncrypted && here.created !== there.created) {
    return `was created at ${here.created}, the one in the file at ${there.created}`;
  }
  return undefined;
}

export function clash(name: string, problem: string): CatalogError {
  const what = `set "${name}" of this store is not the one in the file: it ${problem}`;
  return new CatalogError('EXISTS', `${what}. Import it under another name: --as NAME`);
}
