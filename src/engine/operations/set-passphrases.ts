import { CatalogError } from '../../catalog/catalog-error.ts';
import {
  addPassphrase,
  type ChangedSlots,
  changePassphrase,
  changeRecoveryKey,
  removePassphrase,
  type SlotsChange,
} from '../../catalog/passphrases.ts';
import { isLocked, keptPoints } from '../../catalog/removal/kept-points.ts';
import { obstacleText } from '../../catalog/removal/obstacles.ts';
import { unlockSet } from '../../catalog/sets.ts';
import type { Secret } from '../../formats/store/catalog/key-slot.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { CallOptions } from '../base/call.ts';
import {
  type Engine,
  type GivenSecret,
  readKnownSet,
  readSecret,
  type SecretSource,
} from '../base/engine.ts';
import { trustedNow } from '../base/trusted-now.ts';
import { setUsers } from '../jobs/set-users.ts';
import { checkDeletions } from '../points/deletions.ts';
import { newPassphrase } from '../points/sets.ts';
import type { StoreContext } from './context.ts';

/* Passphrases and recovery keys of a set, and what the service and its schedules have to know of a change. */

type Work = Pick<CallOptions, 'secrets'>;

export async function addSetPassphrase(
  context: StoreContext,
  { set, newPassphrase: text }: RequestOf<'set/add-passphrase'>,
  { secrets }: Work,
): Promise<ResultOf<'set/add-passphrase'>> {
  const engine = await context.engine();
  const { secret } = await opened(engine, set, secrets);
  return shown(set, await addPassphrase(engine.store, set, passphraseIn(text), { secret }), []);
}

export async function changeSetPassphrase(
  context: StoreContext,
  { set, newPassphrase: text, replaces: id }: RequestOf<'set/change-passphrase'>,
  { secrets }: Work,
): Promise<ResultOf<'set/change-passphrase'>> {
  const engine = await context.engine();
  const { secret, mayRemove } = await opened(engine, set, secrets);
  const passphrase = passphraseIn(text);
  const done = await changePassphrase(engine.store, set, passphrase, { secret, mayRemove, id });
  const old = secret.kind === 'passphrase' && id === undefined ? secret.passphrase : undefined;
  return shown(set, done, await consequences(context, set, done, old && [old, passphrase]));
}

export async function removeSetPassphrase(
  context: StoreContext,
  { set, id }: RequestOf<'set/remove-passphrase'>,
  { secrets }: Work,
): Promise<ResultOf<'set/remove-passphrase'>> {
  const engine = await context.engine();
  const done = await removePassphrase(engine.store, set, id, await opened(engine, set, secrets));
  return shown(set, done, await consequences(context, set, done, undefined));
}

export async function changeSetRecoveryKey(
  context: StoreContext,
  { set }: RequestOf<'set/change-recovery-key'>,
  { secrets }: Work,
): Promise<ResultOf<'set/change-recovery-key'>> {
  const engine = await context.engine();
  const done = await changeRecoveryKey(engine.store, set, await opened(engine, set, secrets));
  const notes = await consequences(context, set, done, undefined);
  return { ...shown(set, done, notes), recoveryKey: done.recoveryKey };
}

/** Rejects CatalogError WRONG_KEY; that it opens the set is found out under the store's lock. */
async function opened(engine: Engine, set: string, secrets: SecretSource): Promise<SlotsChange> {
  const { slots } = await readKnownSet(engine, set);
  if (slots.length === 0) {
    throw new CatalogError('WRONG_KEY', `set "${set}" is not encrypted, so it has no passphrase`);
  }
  const secret = readSecret((await secrets(set, 'needed'))!);
  return { secret, mayRemove: (slot) => requireRemovable(engine, { set, secret, slot }) };
}

/**
 * Who has removed everything that opens a set has removed its recovery points. So as long as one is locked, recovery
 * keys stay, and a passphrase is removed only by a person who has one of them. Rejects KEPT, FROZEN, LOCKED.
 */
async function requireRemovable(
  engine: Engine,
  {
    set,
    secret,
    slot,
  }: {
    readonly set: string;
    readonly secret: Secret;
    readonly slot: { readonly kind: Secret['kind']; readonly id: string };
  },
): Promise<void> {
  await checkDeletions(engine);
  if (slot.kind === 'passphrase' && secret.kind === 'recovery-key') return;
  const kept = await keptPoints(engine.store, set, await trustedNow(engine));
  const first = kept.find(isLocked);
  if (!first) return;
  const why = `${first.id} stays: ${first.obstacles.map((it) => obstacleText(first.id, it)).join('; ')}`;
  const advice =
    slot.kind === 'passphrase'
      ? `give the recovery key (--recovery-key-file), or add one: "holdfast set add-passphrase ${set}"`
      : 'wait until then';
  const what = `${wordOf(slot.kind)} ${slot.id} of set "${set}" stays while a recovery point of it is locked`;
  throw new CatalogError('KEPT', `${what}: ${advice} (${why})`);
}

const wordOf = (kind: Secret['kind']): string =>
  kind === 'passphrase' ? 'passphrase' : 'recovery key';

/** Throws SchemaError if it is empty, as for a new set. */
function passphraseIn(base64: string): Uint8Array {
  return newPassphrase({ kind: 'passphrase', passphrase: Buffer.from(base64, 'base64') });
}

function shown(set: string, { added, removed }: ChangedSlots, notes: readonly string[]) {
  return { set, added: added?.id ?? null, removed: removed.map(({ id }) => id), notes };
}

/**
 * What a person has to do next. Keys that were given for schedules and jobs, and are in memory, are the new passphrase
 * from now on where they were the old one (`passphrases`: both).
 */
async function consequences(
  { engine: open, service }: StoreContext,
  set: string,
  { record, staleCopy }: ChangedSlots,
  passphrases: readonly [Uint8Array, Uint8Array] | undefined,
): Promise<string[]> {
  const notes: string[] = [];
  if (staleCopy !== undefined) {
    notes.push(
      `the copy of the record still has what was removed: ${staleCopy}. The end of the next scrub writes it again; ` +
        'until then do not repair the record of the set from it',
    );
  }
  const jobs = await service?.jobs();
  if (!jobs) {
    notes.push('a service that has the former passphrase in a file needs the new one there');
    return notes;
  }
  const users = await setUsers(await open(), jobs.files, set);
  if (passphrases) {
    const carried = jobs.keys.carry(users, ...passphrases);
    if (carried.length > 0) {
      notes.push(`the key that was given for ${carried.join(', ')} is the new passphrase now`);
    }
  }
  // Not the key of a job: the one that the service finds by itself.
  const own = await jobs.keys.sourceOf({ id: '', schedule: undefined })(set, 'needed').catch(none);
  if (own && !(await opens(record, own))) {
    const waiting = [
      ...users.schedules.map((it) => `schedule ${it}`),
      ...users.jobs.map((it) => `job ${it}`),
    ];
    const who = waiting.length > 0 ? `, and these wait for a key: ${waiting.join(', ')}` : '';
    notes.push(
      `the passphrase that the service has of set "${set}" does not open it any longer${who}. Write the new one to ` +
        'its file ("passphraseFiles" of the settings, or its credential)',
    );
  }
  return notes;
}

async function opens(record: ChangedSlots['record'], given: GivenSecret): Promise<boolean> {
  try {
    await unlockSet(record, readSecret(given));
    return true;
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'WRONG_KEY') return false;
    throw cause;
  }
}

function none(cause: unknown): undefined {
  if (cause instanceof CatalogError || cause instanceof SystemError) return undefined;
  throw cause;
}
