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
import { openStore, type Store, type StoreOptions } from '../../store/directory/store.ts';
import { giveBackFreedMemory } from '../../sys/process/memory.ts';
import { processors } from '../../sys/process/processors.ts';
import { realWorld } from '../../sys/world.ts';
import { lockBeginNow } from './trusted-now.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';

/** An open store, and what is needed to work on it. */
export interface Engine extends AsyncDisposable {
  readonly store: Store;
  readonly box: Box;
  /** What the box knows about this store without asking it. */
  readonly memory: StoreMemory;
  readonly pointNames: PointNames;
  /** Threads for work that can be split. */
  readonly workers: number;
  /** The reader for sessions' disks. */
  readonly reader: () => Promise<BorrowedReader>;
  /** The NFS server that all sessions share; it is created on first use. */
  nfs(): Promise<NfsServer>;
  /** Called before sessions end with the process: the NFS server, if there is one, stops answering. */
  leaveNfs(): Promise<void>;
  /** Memory for guests' writes, and reads over NBD, shared by all sessions. */
  readonly guestMemory: ReturnType<typeof guestMemory>;
  /** The NBD server of all sessions, if the service is configured to have one. */
  readonly disks: DiskServer | undefined;
}

export async function openEngine(directory: string, options?: StoreOptions): Promise<Engine> {
  giveBackFreedMemory();
  const store = await openStore(realWorld(), directory, options);
  const box = ownBox(store);
  const workers = processors();
  const reader = sharedReader(async () => {
    const { openBlockReader } = await import('../../store/read/block-reader.ts');
    return openBlockReader(store, { threads: workers, clock: store.clock });
  });
  const memory = guestMemory();
  let nfs: Promise<NfsServer> | undefined;
  // Loaded only on demand, for a quick start of everything else.
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
    // A failure is not cached: the next caller tries again.
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

/** A secret as people give it; requested only for an encrypted set. */
export type GivenSecret =
  | { readonly kind: 'passphrase'; readonly passphrase: Uint8Array }
  | { readonly kind: 'recovery-key'; readonly text: string };

/**
 * Finds the secret of a set. `if given`: the set claims not to be encrypted, so the user is not asked; the result is
 * a secret that was nevertheless given for this set. Rejects WRONG_KEY if a secret is needed and there is none, and
 * PASSKEY where a person asks for what a set with a passkey holds, and did not give it.
 */
export type SecretSource = (
  set: string,
  when: 'needed' | 'if given',
) => Promise<GivenSecret | undefined>;

/** For calls that must not ask a person. */
export const noSecrets: SecretSource = async (set, when) => {
  if (when === 'if given') return undefined;
  throw new CatalogError('WRONG_KEY', `no key for set "${set}" was given`);
};

/** For many sets at once: a secret that opens some of them says nothing about the others. */
export function whereNeeded(secrets: SecretSource): SecretSource {
  return async (set, when) => (when === 'needed' ? secrets(set, when) : undefined);
}

/**
 * Rejects CatalogError WRONG_KEY, NOT_FOUND, ALTERED. A set without slots is not trusted if this box remembers that
 * it was encrypted, or a secret was given for it: an attacker with write access to the store could otherwise have the
 * next backup written in plain text.
 */
export async function openSet(
  engine: Engine,
  name: string,
  secrets: SecretSource,
): Promise<OpenSet> {
  const record = await readKnownSet(engine, name);
  const given = await secrets(name, record.slots.length > 0 ? 'needed' : 'if given');
  const open = await unlockSet(record, given && readSecret(given));
  await rememberSet(engine.memory, record);
  // Sets are sent to other processes and threads, to which a function cannot be copied: what is not listed stays here.
  return Object.defineProperty(open, 'lockBegin', { value: () => lockBeginNow(engine) });
}

/** Rejects NOT_FOUND, CORRUPT, and ALTERED if it is not the set that this box knows. Needs no key. */
export async function readKnownSet(
  { store, memory }: Pick<Engine, 'store' | 'memory'>,
  name: string,
): Promise<SetRecord> {
  const record = await readSet(store, name);
  checkRemembered(record, await memory.look());
  return record;
}

/** Throws WRONG_KEY if it cannot be a recovery key. */
export function readSecret(given: GivenSecret): Secret {
  if (given.kind === 'passphrase') return given;
  const key = parseRecoveryKey(given.text);
  if (key) return { kind: 'recovery-key', key };
  throw new CatalogError('WRONG_KEY', 'this is not a recovery key: a digit is wrong or missing');
}

/** A recovery point of an opened set. */
export interface OpenedPoint {
  readonly set: OpenSet;
  readonly point: PointRecord;
}

/** The recovery point that the query means, authenticated. */
export async function openPoint(
  engine: Engine,
  query: string,
  secrets: SecretSource,
): Promise<OpenedPoint> {
  const { store } = engine;
  const place = await findPoint(store, query);
  const set = await openSet(engine, place.set, secrets);
  return { set, point: await readPoint(store, set, place.id) };
}

/** Options of all work that takes long. */
export interface WorkOptions {
  readonly secrets: SecretSource;
  readonly signal: AbortSignal;
  readonly report: Report;
  /** Background work awaits it now and then: it resolves once guests leave the disk alone, or after a while. */
  readonly giveWay?: (() => Promise<void>) | undefined;
}
