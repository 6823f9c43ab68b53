import {
  domainKeys,
  formatRecoveryKey,
  RECOVERY_KEY_LENGTH,
  type Secret,
} from '../formats/store/catalog/key-slot.ts';
import {
  type KeySlot,
  type SetRecord,
  SLOTS_MAX,
  sealSet,
} from '../formats/store/catalog/set-record.ts';
import { assert } from '../lib/assert.ts';
import { lockStore } from '../store/directory/store-lock.ts';
import type { Store } from '../store/directory/store.ts';
import { CatalogError } from './catalog-error.ts';
import { leaseTurn } from './leases.ts';
import { mendSetRecord, readCopies, writeSetRecord } from './set-copies.ts';
import { newSlot, openSlot } from './set-keys.ts';
import { readSet, unlockSet } from './sets.ts';

/*
 * The passphrases and recovery keys of a set, added, changed and removed by a person who has one of them. Each is a
 * slot of the set's record, which holds the key of the set; that key never changes.
 *
 * What is new is on the disk, and has opened the set from there, before anything is removed: after a crash between the
 * two both open the set. A set always has a passphrase and a recovery key.
 */

/** A passphrase or recovery key of a set, as people name it. */
export interface SlotName {
  readonly kind: KeySlot['kind'];
  /** From bytes that are random and never used again. */
  readonly id: string;
}

export interface ChangedSlots {
  readonly record: SetRecord;
  /** What opens the set as well since then; undefined: nothing, or it did before. */
  readonly added: SlotName | undefined;
  readonly removed: readonly SlotName[];
  /** Why the copy of the record in `copies` still has what was removed. */
  readonly staleCopy: string | undefined;
}

export interface SlotsChange {
  /** It opens the set. */
  readonly secret: Secret;
  /** Called before a slot is removed, at a time at which no recovery point is locked. Rejects if it has to stay. */
  readonly mayRemove: (slot: SlotName) => Promise<void>;
}

const ID_LENGTH = 4;

function slotName({ kind, nonce }: KeySlot): SlotName {
  return { kind, id: Buffer.from(nonce.subarray(0, ID_LENGTH)).toString('hex') };
}

export function slotNames({ slots }: SetRecord): SlotName[] {
  return slots.map(slotName);
}

/** Rejects WRONG_KEY, EXISTS if it opens the set already, FULL. */
export async function addPassphrase(
  store: Store,
  name: string,
  passphrase: Uint8Array,
  { secret }: Pick<SlotsChange, 'secret'>,
): Promise<ChangedSlots> {
  await using _lock = await lockStore(store, `set add-passphrase ${name}`);
  const { record, dataKey } = await opened(store, name, secret);
  const added: Secret = { kind: 'passphrase', passphrase };
  if (await slotOf(record, added)) {
    throw new CatalogError('EXISTS', `this passphrase opens set "${name}" already`);
  }
  const slot = await newSlot(store.random, dataKey, { domain: record.domain, secret: added });
  const next = await withSlot(store, record, { slot, secret: added, dataKey });
  return { record: next, added: slotName(slot), removed: [], staleCopy: undefined };
}

/**
 * A new passphrase in place of the one that opens the set, or of the one that is named. Repeated after a crash, it
 * removes what it had left. Rejects WRONG_KEY; AMBIGUOUS if the set was opened with its recovery key, has several
 * passphrases, and none of them is named.
 */
export async function changePassphrase(
  store: Store,
  name: string,
  passphrase: Uint8Array,
  { secret, mayRemove, id }: SlotsChange & { readonly id: string | undefined },
): Promise<ChangedSlots> {
  await using _lock = await lockStore(store, `set change-passphrase ${name}`);
  const { record, dataKey, slot: used } = await opened(store, name, secret);
  const added: Secret = { kind: 'passphrase', passphrase };
  const known = await slotOf(record, added);
  const old = oldSlot(record, { used, known, id });
  if (old === known) {
    const what = `this passphrase is the present one of set "${name}"`;
    throw new CatalogError('EXISTS', `${what}: choose another one`);
  }
  // Before the set has one more passphrase: a refusal leaves nothing behind.
  await mayRemove(slotName(old));
  const slot =
    known ?? (await newSlot(store.random, dataKey, { domain: record.domain, secret: added }));
  const both = known ? record : await withSlot(store, record, { slot, secret: added, dataKey });
  const left = await withoutSlots(store, both, { gone: [old], dataKey, mayRemove });
  return { ...left, added: known ? undefined : slotName(slot) };
}

/** Rejects NOT_FOUND; IN_USE for the one that was given to open the set, and the last one. */
export async function removePassphrase(
  store: Store,
  name: string,
  id: string,
  { secret, mayRemove }: SlotsChange,
): Promise<ChangedSlots> {
  await using _lock = await lockStore(store, `set remove-passphrase ${name}`);
  const { record, dataKey, slot: used } = await opened(store, name, secret);
  const slot = slotWithId(record, id);
  if (slot === used) {
    const advice = 'open it with another one, or change this one: "holdfast set change-passphrase"';
    const what = `${id} is the passphrase with which set "${name}" was opened just now`;
    throw new CatalogError('IN_USE', `${what}, so it stays: ${advice}`);
  }
  if (passphrasesOf(record).length === 1) {
    const what = `${id} is the only passphrase of set "${name}", so it stays`;
    throw new CatalogError('IN_USE', `${what}: "holdfast set change-passphrase" replaces it`);
  }
  const left = await withoutSlots(store, record, { gone: [slot], dataKey, mayRemove });
  return { ...left, added: undefined };
}

/** A new recovery key, which exists only in the result, in place of those that the set has. */
export async function changeRecoveryKey(
  store: Store,
  name: string,
  { secret, mayRemove }: SlotsChange,
): Promise<ChangedSlots & { readonly recoveryKey: string }> {
  await using _lock = await lockStore(store, `set change-recovery-key ${name}`);
  const { record, dataKey } = await opened(store, name, secret);
  const gone = record.slots.filter(({ kind }) => kind === 'recovery-key');
  for (const slot of gone) await mayRemove(slotName(slot));
  const key = store.random.bytes(RECOVERY_KEY_LENGTH);
  const added: Secret = { kind: 'recovery-key', key };
  const slot = await newSlot(store.random, dataKey, { domain: record.domain, secret: added });
  const both = await withSlot(store, record, { slot, secret: added, dataKey });
  const left = await withoutSlots(store, both, { gone, dataKey, mayRemove });
  return { ...left, added: slotName(slot), recoveryKey: formatRecoveryKey(key) };
}

/** A crash may have left two different copies of the record: from now on both are the newer one. */
async function opened(store: Store, name: string, secret: Secret) {
  const record = await readSet(store, name);
  if (record.slots.length === 0) {
    const what = `set "${name}" is not encrypted, so it has no passphrase`;
    throw new CatalogError('WRONG_KEY', what);
  }
  // This also checks that the record is authentic.
  await mendSetRecord(store, await unlockSet(record, secret));
  const found = await slotOf(record, secret);
  assert(found, 'what has opened a set opens a slot of it');
  const dataKey = await openSlot(found, secret, record.domain);
  assert(dataKey, 'a slot that was opened opens again');
  return { record, slot: found, dataKey };
}

const passphrasesOf = ({ slots }: SetRecord): KeySlot[] =>
  slots.filter(({ kind }) => kind === 'passphrase');

async function slotOf(record: SetRecord, secret: Secret): Promise<KeySlot | undefined> {
  for (const slot of record.slots) if (await openSlot(slot, secret, record.domain)) return slot;
  return undefined;
}

function slotWithId(record: SetRecord, id: string): KeySlot {
  const [found, second] = passphrasesOf(record).filter((it) => slotName(it).id === id);
  if (found && !second) return found;
  const ids = passphrasesOf(record).map((it) => slotName(it).id);
  const what = `set "${record.name}" does not have the passphrase "${id}"`;
  throw new CatalogError('NOT_FOUND', `${what}; it has ${ids.join(', ')}`);
}

function oldSlot(
  record: SetRecord,
  {
    used,
    known,
    id,
  }: {
    readonly used: KeySlot;
    readonly known: KeySlot | undefined;
    readonly id: string | undefined;
  },
): KeySlot {
  if (id !== undefined) return slotWithId(record, id);
  if (used.kind === 'passphrase') return used;
  const others = passphrasesOf(record).filter((it) => it !== known);
  if (others.length === 1) return others[0]!;
  if (others.length === 0 && known) return known;
  const ids = others.map((it) => slotName(it).id).join(', ');
  const what = `set "${record.name}" has several passphrases (${ids})`;
  throw new CatalogError('AMBIGUOUS', `${what}: say with --replaces which one is replaced`);
}

/** Writes the record with one more slot, and opens the set with it as it lies on the disk now. */
async function withSlot(
  store: Store,
  record: SetRecord,
  {
    slot,
    secret,
    dataKey,
  }: { readonly slot: KeySlot; readonly secret: Secret; readonly dataKey: Uint8Array },
): Promise<SetRecord> {
  if (record.slots.length >= SLOTS_MAX) {
    const what = `set "${record.name}" has ${SLOTS_MAX} passphrases and recovery keys, which is the most`;
    throw new CatalogError('FULL', `${what}: remove one first`);
  }
  const next = resealed(record, [...record.slots, slot], dataKey);
  await writeSetRecord(store, next);
  const { record: read, problems } = await readCopies(store, record.name);
  const isThere = read !== undefined && problems.length === 0;
  const found = isThere ? await slotOf(read, secret) : undefined;
  const key = found && (await openSlot(found, secret, record.domain));
  if (key && Buffer.compare(key, dataKey) === 0) return next;
  const what = `set "${record.name}" does not open with what was added to it, as it lies on the disk`;
  const advice = 'nothing was removed, and the former passphrase still opens it';
  throw new CatalogError('CORRUPT', `${what}; ${advice}`);
}

async function withoutSlots(
  store: Store,
  record: SetRecord,
  {
    gone,
    dataKey,
    mayRemove,
  }: {
    readonly gone: readonly KeySlot[];
    readonly dataKey: Uint8Array;
    readonly mayRemove: SlotsChange['mayRemove'];
  },
): Promise<Omit<ChangedSlots, 'added'>> {
  // No recovery point is published, or locked, in between.
  await using _turn = await leaseTurn(store, `passphrases of set ${record.name}`);
  for (const slot of gone) await mayRemove(slotName(slot));
  const left = record.slots.filter((it) => !gone.includes(it));
  assert(left.length > 0, 'a set keeps a way to open it');
  const next = resealed(record, left, dataKey);
  const staleCopy = await writeSetRecord(store, next);
  return { record: next, removed: gone.map(slotName), staleCopy };
}

function resealed(
  { seal, ...record }: SetRecord,
  slots: readonly KeySlot[],
  dataKey: Uint8Array,
): SetRecord {
  return sealSet({ ...record, slots }, 1 + (seal?.counter ?? 0), domainKeys(dataKey).record);
}
