import type { Remembered, StoreMemory } from '../../box/store-memory.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import type { RememberedSet } from '../../formats/store/service/box.ts';
import type { SetRecord } from '../../formats/store/catalog/set-record.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * The store says whether a set is encrypted, and an attacker with write access could alter that: backups would be
 * written in plain text, and forged recovery points would be trusted. So the first use of a set is remembered, and
 * every later one compared with it.
 */

/** Throws ALTERED: an encrypted set has lost its encryption, or has become another one. */
export function checkRemembered(record: SetRecord, remembered: Remembered): void {
  const problem = alterationOf(record, remembered);
  if (problem !== undefined) throw new CatalogError('ALTERED', problem);
}

/** Describes the alteration, and what to do; undefined: the set is as this box knows it, or new. */
export function alterationOf(
  record: SetRecord,
  { set, problem, lost }: Remembered,
): string | undefined {
  const known = set(record.name);
  const { domain, encrypted } = rememberedSet(record);
  if (problem !== undefined && !encrypted) {
    return (
      `set "${record.name}" claims not to be encrypted, and this box cannot tell whether it was: ${problem}. ` +
      'Put the memory back from a copy; if you know that the set is not encrypted: "holdfast store adopt"'
    );
  }
  if (lost[0] !== undefined) {
    return (
      `the store had the feature "${lost[0]}" when this box last used it, and now claims not to: its record was ` +
      `altered or put back, so set "${record.name}" is neither read nor written. Restore holdfast-store.json and ` +
      'holdfast-store.copy.json from a copy; if you have put back the whole store: "holdfast store adopt"'
    );
  }
  if (!known?.encrypted || (encrypted && domain === known.domain)) return undefined;
  const what = encrypted ? 'has another key now' : 'now claims not to be encrypted';
  return (
    `set "${record.name}" was encrypted when this box last used it, and ${what}: its record was altered or replaced. ` +
    'Nothing is read from it or written to it. Restore sets/' +
    `${record.name}/set.json from a copy; if you replaced the set yourself: "holdfast store adopt"`
  );
}

/**
 * Remembers the set for the next use. A memory that cannot be written must not prevent a recovery: then the next use
 * remembers the set.
 */
export async function rememberSet(memory: StoreMemory, record: SetRecord): Promise<void> {
  const now = rememberedSet(record);
  const { set, gained } = await memory.look();
  const known = set(record.name);
  const isSame = known?.encrypted === now.encrypted && known.domain === now.domain;
  if (isSame && gained.length === 0) return;
  try {
    await memory.rememberSet(record.name, now);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
  }
}

export function rememberedSet({ domain, slots }: SetRecord): RememberedSet {
  return { domain: Buffer.from(domain).toString('hex'), encrypted: slots.length > 0 };
}
