import { join } from 'node:path/posix';
import { decodeSummed, encodeSummed } from '../formats/store/base/json-record.ts';
import { idIn, nameIn } from '../formats/store/base/names.ts';
import { decodeSession, type SessionPhase } from '../formats/store/sessions/session.ts';
import type { Store } from '../store/directory/store.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { CatalogError } from './catalog-error.ts';
import { readRecord } from './read-record.ts';

/** Marks a recovery point as in use until the lease is released; it never expires. */
export interface Lease {
  readonly set: string;
  readonly point: string;
  /** For people: `session vm1-k3x9`. */
  readonly holder: string;
}

const RECORD_LENGTH_MAX = 16 * 1024;
const JOURNAL = 'session.json';
const JOURNAL_LENGTH_MAX = 1024 * 1024;
const SUFFIX = '.json';
/** A turn takes some syncs of a disk, which may be busy. */
const TURN_WAIT_MS = 60_000;
const TURN_LOOK_MS = 20;

/**
 * Held while looking for a point and taking a session's lease, while looking for its leases and removing the point, and
 * while a point is published: each decision depends on what the others change. Rejects BUSY.
 */
export async function leaseTurn(store: Store, holder: string): Promise<AsyncDisposable> {
  const { files, clock } = store;
  const start = clock.monotonicMs();
  for (;;) {
    try {
      return await files.lock(join(store.directory, 'leases', 'lock'), holder);
    } catch (cause) {
      const isBusy = cause instanceof SystemError && cause.code === 'BUSY';
      if (!isBusy || clock.monotonicMs() - start > TURN_WAIT_MS) throw cause;
    }
    await clock.sleep(TURN_LOOK_MS);
  }
}

export function leasePath(store: Store, id: string): string {
  return join(store.directory, 'leases', id + SUFFIX);
}

/** `id` names the lease; taking the same one again changes nothing. */
export async function takeLease(store: Store, id: string, lease: Lease): Promise<void> {
  const { files } = store;
  await putDurably(files, leasePath(store, id), encodeSummed(lease));
}

export async function releaseLease(store: Store, id: string): Promise<void> {
  const { files } = store;
  const path = leasePath(store, id);
  // Also what a process left that was killed while it took the lease.
  for (const it of [`${path}.tmp`, path]) if (await files.stat(it)) await files.unlink(it);
  // Even if it is gone already: a killed process may not have reached this sync.
  await files.syncDirectory(join(store.directory, 'leases'));
}

/** Undefined: it is missing or damaged. */
export async function readLease(store: Store, id: string): Promise<Lease | undefined> {
  const { files } = store;
  const path = leasePath(store, id);
  if (!(await files.stat(path))) return undefined;
  try {
    return await readRecord({ files, store }, path, RECORD_LENGTH_MAX, decodeLease);
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'CORRUPT') return undefined;
    throw cause;
  }
}

/**
 * For `checked-records`: rewrites all leases with checksums. Damaged ones stay as they are. The caller has the turn.
 */
export async function checkLeases(store: Store): Promise<void> {
  const names = await store.files.list(join(store.directory, 'leases'));
  for (const name of names.filter((it) => it.endsWith(SUFFIX))) {
    const id = name.slice(0, -SUFFIX.length);
    const lease = await readLease(store, id);
    if (lease) await takeLease(store, id, lease);
  }
}

export interface LeaseList {
  readonly leases: readonly Lease[];
  /** Unreadable leases. */
  readonly damaged: readonly { readonly path: string; readonly reason: string }[];
}

/** Rejects CORRUPT if one cannot be read: it may protect any recovery point. */
export async function leasesOf(store: Store): Promise<readonly Lease[]> {
  const { leases, damaged } = await sessionsAndLeases(store);
  const [first] = damaged;
  if (!first) return leases;
  throw new CatalogError(
    'CORRUPT',
    `${first.reason}; it may protect any recovery point: find its session with "session list", ` +
      'stop and resume it to write the lease again, or discard it',
  );
}

/**
 * What sessions use, whether their leases are there or not: on a full disk a session is resumed without one. `damaged`:
 * leases, and journals of sessions without a lease.
 */
export async function sessionsAndLeases(store: Store): Promise<LeaseList> {
  // Leases first: a session that ends has another phase before its lease goes.
  const { leases, damaged } = await listLeases(store);
  const known = new Set(leases.map(({ holder }) => holder));
  const list = { leases: [...leases], damaged: [...damaged] };
  for (const id of await namesIn(store, 'sessions')) {
    const holder = sessionHolder(id);
    if (known.has(holder)) continue;
    const path = join(store.directory, 'sessions', id, JOURNAL);
    try {
      const { set, point, phase } = await readRecord(
        { files: store.files, store },
        path,
        JOURNAL_LENGTH_MAX,
        decodeSession,
      );
      if (!WITHOUT_LEASE.has(phase)) list.leases.push({ set, point, holder });
    } catch (cause) {
      // It has just ended, or is the rest of one that a crash left.
      if (cause instanceof SystemError && cause.code === 'NOT_FOUND') continue;
      if (!(cause instanceof CatalogError)) throw cause;
      list.damaged.push({ path, reason: cause.message });
    }
  }
  return list;
}

/** The phases before a session takes its lease, and after it needs none. */
const WITHOUT_LEASE: ReadonlySet<SessionPhase> = new Set(['preparing', 'cleaning']);

/** The holder of the lease of a session. */
export function sessionHolder(id: string): string {
  return `session ${id}`;
}

async function namesIn({ files, directory }: Store, name: string): Promise<string[]> {
  const path = join(directory, name);
  return (await files.stat(path)) ? files.list(path) : [];
}

export async function listLeases(store: Store): Promise<LeaseList> {
  const { files } = store;
  const directory = join(store.directory, 'leases');
  const leases: Lease[] = [];
  const damaged: { path: string; reason: string }[] = [];
  for (const name of await files.list(directory)) {
    if (!name.endsWith(SUFFIX)) continue;
    const path = join(directory, name);
    try {
      leases.push(await readRecord({ files, store }, path, RECORD_LENGTH_MAX, decodeLease));
    } catch (cause) {
      if (cause instanceof SystemError && cause.code === 'NOT_FOUND') continue;
      if (!(cause instanceof CatalogError)) throw cause;
      damaged.push({ path, reason: cause.message });
    }
  }
  return { leases, damaged };
}

function decodeLease(bytes: Uint8Array): Lease {
  return decodeSummed(bytes, (fields) => ({
    set: nameIn(fields, 'set'),
    point: idIn(fields, 'point'),
    holder: fields.text('holder'),
  }));
}
