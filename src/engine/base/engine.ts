import type { Secret } from '../../formats/store/catalog/key-slot.ts';
import { parseRecoveryKey } from '../../formats/store/catalog/key-slot.ts';
import { pointNames, type PointNames } from '../../catalog/point-names.ts';
import { findPoint, readPoint } from '../../catalog/points.ts';
import type { Report } from '../../operations/events.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { type OpenSet, readSet, unlockSet } from '../../catalog/sets.ts';
import { checkRemembered, rememberSet } from './remembered-sets.ts';
import type { Box } from '../../box/box.ts';
import type { StoreMemory } from '../../box/store-memory.ts';
import { ownBox } from '../../box/own-box.ts';
import type { DiskServer } from '../../sessions/serve/disk-server.ts';
import { guestMemory } from '../../sessions/serve/guest-memory.ts';
import type { NfsServer } from '../../sessions/serve/nfs-server.ts';
import { type BorrowedReader, sharedReader } from '../../store/read/shared-reader.ts';
import type { SetRecord } from '../../formats/store/catalog/set-record.ts';
import { openStore, type Store } from '../../store/directory/store.ts';
import { giveBackFreedMemory } from '../../sys/process/memory.ts';
import { processors } from '../../sys/process/processors.ts';
import { realWorld } from '../../sys/world.ts';

/** An open store, and what is needed to work on it. */
export interface House extends AsyncDisposable {
  readonly store: Store;
  readonly box: Box;
  /** What the box knows of this store without asking it. */
  readonly memory: StoreMemory;
  readonly pointNames: PointNames;
  /** Threads for work that can be split. */
  readonly workers: number;
  /** For sessions' disks. */
  readonly reader: () => Promise<BorrowedReader>;
  /** The one that all sessions share; there is none before somebody wants it. */
  nfs(): Promise<NfsServer>;
  /** Before sessions are ended with the process: from here on it answers nobody, if it is there. */
  leaveNfs(): Promise<void>;
  /** For what guests write, and read over NBD: all sessions share it. */
  readonly guestMemory: ReturnType<typeof guestMemory>;
  /** Of a service that is set to have one. */
  readonly disks: DiskServer | undefined;
}

export async function openHouse(directory: string): Promise<House> {
  giveBackFreedMemory();
  const store = await openStore(realWorld(), directory);
  const box = ownBox(store);
  const workers = processors();
  const reader = sharedReader(async () => {
    const { openBlockReader } = await import('../../store/read/block-reader.ts');
    return openBlockReader(store, { threads: workers, clock: store.clock });
  });
  const memory = guestMemory();
  let nfs: Promise<NfsServer> | undefined;
  // Loaded only where it is wanted, for a quick start of all else.
  const openNfs = async (): Promise<NfsServer> =>
    (await import('../../sessions/serve/nfs-server.ts')).openNfsServer(store, {
      reader,
      writes: memory.writes,
    });
  return {
    store,
    box,
    memory: box.of(store),
    pointNames: pointNames(store),
    workers,
    reader,
    // A failure is not kept: the next caller tries again.
    nfs: () =>
      (nfs ??= openNfs().catch((cause: unknown) => {
        nfs = undefined;
        throw cause;
      })),
    leaveNfs: async () => (await nfs)?.leave(),
    guestMemory: memory,
    disks: undefined,
    async [Symbol.asyncDispose]() {
      await (await nfs)?.[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** As given by people; asked for only where a set is encrypted. */
export type GivenSecret =
  | { readonly kind: 'passphrase'; readonly passphrase: Uint8Array }
  | { readonly kind: 'recovery-key'; readonly text: string };

/**
 * The secret of a set. `if given`: the set says that it is not encrypted, so the user is not asked; the answer is a
 * secret that was given for this set all the same. Rejects WRONG_KEY where a secret is needed and there is none.
 */
export type SecretSource = (
  set: string,
  when: 'needed' | 'if given',
) => Promise<GivenSecret | undefined>;

/** Where nobody is to be asked. */
export const noSecrets: SecretSource = async (set, when) => {
  if (when === 'if given') return undefined;
  throw new CatalogError('WRONG_KEY', `no key of set "${set}" was given`);
};

/** For many sets at once: a secret that opens some of them says nothing of the others. */
export function whereNeeded(secrets: SecretSource): SecretSource {
  return async (set, when) => (when === 'needed' ? secrets(set, when) : undefined);
}

/**
 * Rejects CatalogError WRONG_KEY, NOT_FOUND, ALTERED. A set that has lost its slots is not believed where this box
 * remembers that it was encrypted, or a secret was given for it: an attacker with write access to the store could
 * make the next backup be written in plain text.
 */
export async function openSet(house: House, name: string, secrets: SecretSource): Promise<OpenSet> {
  const record = await readKnownSet(house, name);
  const given = await secrets(name, record.slots.length > 0 ? 'needed' : 'if given');
  const open = await unlockSet(record, given && readSecret(given));
  await rememberSet(house.memory, record);
  return open;
}

/** Rejects NOT_FOUND, CORRUPT, and ALTERED where it is not as this box knows it. Needs no key. */
export async function readKnownSet(
  { store, memory }: Pick<House, 'store' | 'memory'>,
  name: string,
): Promise<SetRecord> {
  const record = await readSet(store, name);
  checkRemembered(record, await memory.look());
  return record;
}

/** Throws WRONG_KEY for what cannot be a recovery key. */
export function readSecret(given: GivenSecret): Secret {
  if (given.kind === 'passphrase') return given;
  const key = parseRecoveryKey(given.text);
  if (key) return { kind: 'recovery-key', key };
  throw new CatalogError('WRONG_KEY', 'that is no recovery key: a digit is wrong or missing');
}

/** The recovery point that a person means, authentic. */
export async function openPoint(house: House, query: string, secrets: SecretSource) {
  const { store } = house;
  const place = await findPoint(store, query);
  const set = await openSet(house, place.set, secrets);
  return { set, point: await readPoint(store, set, place.id) };
}

/** What goes with everything that takes long. */
export interface WorkOptions {
  readonly secrets: SecretSource;
  readonly signal: AbortSignal;
  readonly report: Report;
}
