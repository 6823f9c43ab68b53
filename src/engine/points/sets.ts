import type { Remembered } from '../../box/store-memory.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { slotNames } from '../../catalog/passphrases.ts';
import { lockDays } from '../../catalog/removal/set-lock.ts';
import { createSet, listSets, readSet } from '../../catalog/sets.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { SetSummary } from '../../operations/nouns/set.ts';
import type { SetRecord } from '../../formats/store/catalog/set-record.ts';
import { SchemaError } from '../../lib/schema.ts';
import type { GivenSecret, Engine } from '../base/engine.ts';
import { alterationOf, rememberSet } from '../base/remembered-sets.ts';
import { hasPasskey } from '../secrets/passkey-files.ts';
import { shownRules } from './set-retention.ts';

export interface NewSet extends Omit<SetSummary, Looked> {
  /** Shown once; it is not stored anywhere. */
  readonly recoveryKey: string | null;
}

export async function makeSet(
  { store, memory }: Engine,
  name: string,
  passphrase: Uint8Array | undefined,
): Promise<NewSet> {
  const { record, recoveryKey } = await createSet(store, name, { passphrase });
  await rememberSet(memory, record);
  return { ...summary(record), recoveryKey: recoveryKey ?? null };
}

/** Throws SchemaError if it is missing: an encrypted set begins with a passphrase. */
export function newPassphrase(given: GivenSecret | undefined): Uint8Array {
  if (given?.kind === 'passphrase' && given.passphrase.length > 0) return given.passphrase;
  throw new SchemaError(['secret'], 'the passphrase of the new set is missing');
}

export async function sets(engine: Engine): Promise<ResultOf<'set/list'>> {
  const { store, memory } = engine;
  const { sets, damaged } = await listSets(store);
  const remembered = await memory.look();
  const summaries = sets.map((it) => lookedUp(engine, it, remembered));
  return {
    sets: await Promise.all(summaries),
    damaged: damaged.map(({ set, path, reason }) => ({ path, reason: `set "${set}": ${reason}` })),
  };
}

/** Null: it cannot be read; a check says why, and so does the next backup. */
async function shownLock({ store }: Engine, set: string): Promise<number | null> {
  try {
    return await lockDays(store, set);
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return null;
  }
}

export async function showSet(engine: Engine, name: string): Promise<ResultOf<'set/show'>> {
  const record = await readSet(engine.store, name);
  const summary = await lookedUp(engine, record, await engine.memory.look());
  return { ...summary, secrets: slotNames(record) };
}

type Looked = 'problem' | 'passkey' | 'lockDays' | 'retention' | 'retentionProblem';

async function lookedUp(
  engine: Engine,
  record: SetRecord,
  remembered: Remembered,
): Promise<SetSummary> {
  return {
    ...summary(record),
    passkey: await hasPasskey(engine, record.name),
    lockDays: await shownLock(engine, record.name),
    problem: alterationOf(record, remembered) ?? null,
    ...(await shownRules(engine, record.name)),
  };
}

function summary({ name, created, slots }: SetRecord): Omit<SetSummary, Looked> {
  return { set: name, created, encrypted: slots.length > 0 };
}
