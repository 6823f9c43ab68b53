import { BlockError } from '../../block/block-error.ts';
import { type OpenPointDisk, openPointDisks } from '../../catalog/point-disks.ts';
import { readPoint } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { discardHeld, holdFound } from '../state/held-session.ts';
import { sessionStatus } from '../state/listed-sessions.ts';
import { SessionError } from '../state/session-error.ts';
import { sessionJournal } from '../state/session-files.ts';
import { overlayOf } from '../state/session-overlays.ts';
import { sessionSpace } from '../state/session-space.ts';
import {
  type CopiedDisk,
  type CopyOptions,
  type DiskCopies,
  diskCopies,
  type NamedDisk,
} from './disk-copies.ts';

/*
 * A session's disks, written to permanent storage without the interface of any hypervisor. Nothing of the session is
 * removed before every disk is on its medium, was read back and has its name. A crash at any time leaves the session;
 * the same command, repeated, ends it.
 *
 * The guest must be off while its writes are copied. To keep that time short, the recovery point itself can be copied
 * first, while the guest runs: it never changes. Then only what the guest wrote is copied over it.
 */

export interface FinalizeOptions extends CopyOptions {
  readonly set: OpenSet;
  /** While the session is in use, copies the recovery point first, and then waits until the session is stopped. */
  readonly whileRunning: boolean;
  readonly workers: number;
  /** Called with the record once no other process holds the session; rejects if it must not be finalized. */
  readonly allow: (record: SessionRecord) => Promise<void>;
  /** The recovery point is copied: the guest and the session must be stopped now. */
  readonly onCopied: (remaining: Remaining) => void;
}

/** What is left to do while the guest is off. */
export interface Remaining {
  /** At most this much, as the session takes it now. */
  readonly bytes: number;
  /** At the rate at which the recovery point was copied. */
  readonly seconds: number;
}

/**
 * Ends the session. If that fails the session stays as it was. Rejects RUNNING, NOT_FOUND, UNSUPPORTED, IMPOSSIBLE,
 * CORRUPT if data of a disk is lost; and as `openTarget` and `rewriteDisk`.
 */
export async function finalizeSession(
  store: Store,
  id: string,
  options: FinalizeOptions,
): Promise<readonly CopiedDisk[]> {
  const { set, workers, whileRunning, allow, onCopied, signal } = options;
  const { record: before, holder } = await sessionStatus(store, id);
  requireReady(before);
  const point = await readPoint(store, set, before.point);
  await using stack = new AsyncDisposableStack();
  const reading = { set, threads: workers, holder: `session finalize ${id}` };
  const { disks: bases } = stack.use(await openPointDisks(store, point, reading));
  const copies = stack.use(diskCopies(store, options));
  const isEarly = whileRunning && holder !== undefined;
  if (isEarly) onCopied(await copyEarly(store, id, { bases, copies }));
  const { record, lock } = await (isEarly ? heldLater(store, id, signal) : holdFound(store, id));
  stack.use(lock);
  await allow(record);
  requireReady(record);
  requireSamePoint(record, point);
  const disks: OpenDisk[] = [];
  for (const base of bases) disks.push(stack.use(await openDisk(store, record, base, set)));
  const done = await whole(record, () => copies.complete(disks));
  await copies.publish();
  for (const disk of disks) await disk[Symbol.asyncDispose]();
  await discardHeld(store, record);
  return done;
}

function requireReady({ id, phase, placement }: SessionRecord): void {
  if (phase === 'ready') return;
  const why =
    phase === 'preparing'
      ? 'it has not run yet, so nothing is lost: discard it'
      : phase === 'keeping'
        ? `it is being kept: finish that with "session keep ${id}"`
        : phase === 'cleaning'
          ? `it is being discarded: finish that with "session discard ${id}"`
          : `its machine is on hypervisor ${placement?.hypervisor}: move its disks there with "session migrate ${id}"`;
  throw new SessionError('IMPOSSIBLE', `session ${id} cannot be finalized: ${why}`);
}

/** Another session may have got this name in the meantime. */
function requireSamePoint({ id, point }: SessionRecord, copied: PointRecord): void {
  if (point === copied.id) return;
  throw new SessionError('IMPOSSIBLE', `session ${id} runs another recovery point now: ${point}`);
}

async function copyEarly(
  store: Store,
  id: string,
  { bases, copies }: { readonly bases: readonly OpenPointDisk[]; readonly copies: DiskCopies },
): Promise<Remaining> {
  const started = store.clock.monotonicMs();
  const written = await copies.copyBases(bases);
  const passed = (store.clock.monotonicMs() - started) / 1000;
  const { takenBytes: bytes } = await sessionStatus(store, id);
  return { bytes, seconds: written === 0 ? 0 : Math.ceil((bytes / written) * passed) };
}

const POLL_MS = 1000;

/** Waits until no process has the session open. */
async function heldLater(store: Store, id: string, signal: AbortSignal | undefined) {
  for (;;) {
    try {
      return await holdFound(store, id);
    } catch (cause) {
      if (!(cause instanceof SessionError) || cause.code !== 'RUNNING') throw cause;
      await store.clock.sleep(POLL_MS, signal);
    }
  }
}

type OpenDisk = NamedDisk & AsyncDisposable;

async function openDisk(
  store: Store,
  record: SessionRecord,
  { root: disk, device: base }: OpenPointDisk,
  set: OpenSet,
): Promise<OpenDisk> {
  const { begin } = sessionJournal(store, record);
  const space = sessionSpace(store, record);
  const device = await overlayOf(store, record, { disk, set, base, space, begin });
  const close = (): PromiseLike<void> => device[Symbol.asyncDispose]();
  if (device.readOnly === undefined) {
    const { written } = device;
    return { name: disk.name, device, written, [Symbol.asyncDispose]: close };
  }
  await close();
  // Any page may be older than the guest wrote it.
  throw notFinalized(record, device.readOnly);
}

async function whole<T>(record: SessionRecord, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof BlockError) || cause.code !== 'CORRUPT') throw cause;
    throw notFinalized(record, cause.message);
  }
}

function notFinalized({ id }: SessionRecord, why: string): SessionError {
  return new SessionError(
    'CORRUPT',
    `session ${id} was not finalized, and is unchanged: ${why}. Resume it, and copy what matters out of the guest`,
  );
}
