import { join } from 'node:path/posix';
import type { BlockDevice, Extent, WritableBlockDevice } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import { readLayer } from '../../block/layer.ts';
import type { Overlay } from '../../block/overlay/overlay.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
  type SealedOverlay,
  type SealedOverlayStats,
} from '../../block/sealed/sealed-overlay.ts';
import { slice } from '../../block/slice.ts';
import type { SpaceGuard } from '../../block/space-guard.ts';
import { type OpenSet, readSet } from '../../catalog/sets.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import type { SessionDisk, SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { TreeSeal } from '../../vfs/sealed-contents.ts';
import { SessionError } from './session-error.ts';
import { restoreOrDiscard, sessionDirectory, writeJournal } from './session-files.ts';
import { sessionSpace } from './session-space.ts';

/*
 * The overlays of a session's disks. Version 2 is a sealed log (formats/store/sessions/overlay-log.md) under a key of
 * the set. Version 1 is plain text (formats/store/sessions/overlay-map.md): a store without the feature
 * `sealed-overlay` has these, so that the release of 22 November can continue its sessions. Once the store has the
 * feature, they are only read: a sealed overlay, empty at first, lies above each.
 */

/** Creates empty overlays; may be repeated. Needs no key: the set's record gives the suite. */
export async function makeOverlays(store: Store, session: SessionRecord): Promise<void> {
  if (session.sealed) return makeHeads(store, session);
  const space = sessionSpace(store, session);
  for (const disk of session.disks) {
    const nothing = readLayer('nothing', { size: disk.size, blockSize: 4096 }, { async read() {} });
    await using _made = await openPlain(store, session, { disk, base: nothing, space });
  }
}

/** Segments of 64 MiB, for disks of at least that size. */
const PLACES_MAX = 16_384;
const PLACES_MIN = 256;

/** A small disk has small segments: one more than the written data needs is always allocated. */
export function placesFor(size: number): number {
  const pages = Math.ceil(size / 4096);
  return Math.min(PLACES_MAX, Math.max(PLACES_MIN, 2 ** Math.ceil(Math.log2(pages))));
}

async function makeHeads(store: Store, session: SessionRecord): Promise<void> {
  const { files, random } = store;
  const directory = sessionDirectory(store, session.id);
  const { slots } = await readSet(store, session.set);
  const suite = slots.length > 0 ? 2 : 1;
  for (const { name: disk, size } of session.disks) {
    const places = placesFor(size);
    await prepareSealedOverlay({ files, random, directory, disk, size, suite, places });
  }
}

/**
 * Gives a session with plain text overlays sealed ones above them; returns its record. If the disk is too full for
 * that the session stays as it is, until it is resumed again.
 */
export async function sealSession(store: Store, session: SessionRecord): Promise<SessionRecord> {
  if (session.sealed || !store.has('sealed-overlay')) return session;
  const directory = sessionDirectory(store, session.id);
  const names = await store.files.list(directory);
  const segment = names.find((name) => name.endsWith('.seg'));
  if (segment !== undefined) {
    const what = 'its journal mentions no sealed overlay: the journal is older than the file';
    throw new SessionError('CORRUPT', `session ${session.id} has ${segment}, but ${what}`);
  }
  const sealed = { begun: [], overPlain: true };
  const after: SessionRecord = { ...session, sealed };
  try {
    await makeHeads(store, session);
    await store.files.syncDirectory(directory);
    // Until the journal says so the heads have no meaning, and are created again.
    await writeJournal(store, after);
    return after;
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
    return session;
  }
}

export interface OverlayOf {
  readonly disk: SessionDisk;
  readonly set: Pick<OpenSet, 'keys'>;
  readonly base: BlockDevice;
  readonly space: SpaceGuard;
  /** Records in the journal that the disk's log has begun. */
  readonly begin: (disk: string) => Promise<void>;
  /** Called for unreadable parts of the overlay. */
  readonly onDamage?: ((where: string, what: string) => void) | undefined;
}

/** The overlay of a disk of a session. */
export interface SessionOverlay extends WritableBlockDevice {
  /** Everything written or zeroed: ascending, then again ascending for an overlay below. */
  written(): AsyncIterable<Extent>;
  /** The same for a caller that reads all of it once, in ascending order. Close it before the overlay. */
  ascending(): BlockDevice;
  /** Statistics of the sealed overlay; undefined: there is none. */
  readonly stats: SealedOverlayStats | undefined;
  /** Why writing is disabled: any page may then be older than it should be. */
  readonly readOnly: string | undefined;
}

/** Opens the overlay of a disk. After the session's preparation, a lost one is never created again. */
export async function overlayOf(
  store: Store,
  session: SessionRecord,
  parts: OverlayOf,
): Promise<SessionOverlay> {
  if (!session.sealed) {
    const { written, ...plain } = await openPlain(store, session, parts);
    const { size: length } = plain.geometry;
    return {
      ...plain,
      ...toldFlushes(plain, parts),
      stats: undefined,
      readOnly: undefined,
      written: () => oneByOne(written()),
      // Pages lie there in the order of the disk.
      ascending: () => slice(plain, { offset: 0, length }),
    };
  }
  await using stack = new AsyncDisposableStack();
  const plain = session.sealed.overPlain
    ? stack.use(await openPlain(store, session, parts))
    : undefined;
  const sealed = stack.use(
    await openSealed(store, session, { ...parts, ...(plain && { base: plain }) }),
  );
  const { readOnly } = sealed;
  if (readOnly !== undefined) {
    const what = `the guest can only read disk ${parts.disk.name}, which may be older in places than it left it`;
    parts.onDamage?.(parts.disk.name, what);
  }
  const owned = stack.move();
  const { written, ...device } = sealed;
  return {
    ...device,
    ...toldFlushes(sealed, parts),
    get stats() {
      return sealed.stats;
    },
    async *written() {
      yield* written();
      yield* plain?.written() ?? [];
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** After a failed flush, writing stops until the overlay is opened again: administrators must know. */
function toldFlushes(
  { write, zero, flush }: Pick<WritableBlockDevice, 'write' | 'zero' | 'flush'>,
  { disk, onDamage }: OverlayOf,
): Pick<WritableBlockDevice, 'write' | 'zero' | 'flush'> {
  async function told(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (cause) {
      if (cause instanceof BlockError && cause.code === 'IO') {
        const what = `the disk of the store failed while disk ${disk.name} was flushed: ${cause.message}`;
        onDamage?.(
          disk.name,
          `${what}. Writing has stopped until the session is stopped and resumed`,
        );
      }
      throw cause;
    }
  }
  return {
    write: (from, offset, durability) =>
      durability === 'durable'
        ? told(write(from, offset, durability))
        : write(from, offset, durability),
    zero: (offset, length, durability) =>
      durability === 'durable'
        ? told(zero(offset, length, durability))
        : zero(offset, length, durability),
    flush: () => told(flush()),
  };
}

async function* oneByOne(extents: readonly Extent[]): AsyncGenerator<Extent> {
  yield* extents;
}

async function openSealed(
  store: Store,
  { id, sealed }: SessionRecord,
  { disk, set, base, space, begin, onDamage }: OverlayOf,
): Promise<SealedOverlay> {
  const { files, clock, random } = store;
  const options = {
    ...{ files, clock, random, space, directory: sessionDirectory(store, id) },
    ...{ disk: disk.name, session: id, key: overlayKeyOf(set.keys) },
    begun: sealed!.begun.includes(disk.name),
    begin: () => begin(disk.name),
    ...(onDamage && { onDamage }),
  };
  try {
    return await openSealedOverlay(options, base);
  } catch (cause) {
    if (!(cause instanceof BlockError) || cause.code !== 'CORRUPT') throw cause;
    throw new SessionError('CORRUPT', `${cause.message}. ${restoreOrDiscard(id)}`, { cause });
  }
}

/** The set decides how an overlay is sealed: the file must agree. */
export function overlayKeyOf({ frame, overlay }: DomainKeys) {
  return { suite: frame ? 2 : 1, overlayKey: overlay } as const;
}

/** The seal of the files beside a session's disks; undefined: there is none. */
export function treeSealOf({ id, sealed }: SessionRecord, keys: DomainKeys): TreeSeal | undefined {
  return sealed && { session: id, key: overlayKeyOf(keys), takesPlain: sealed.overPlain };
}

async function openPlain(
  store: Store,
  { id, phase }: SessionRecord,
  { disk, base, space }: Pick<OverlayOf, 'disk' | 'base' | 'space'>,
): Promise<Overlay> {
  const { files, clock } = store;
  const directory = sessionDirectory(store, id);
  if (phase !== 'preparing' && !(await files.stat(join(directory, `${disk.name}.map`)))) {
    const what = `session ${id} has lost the overlay of disk ${disk.name} (${disk.name}.map)`;
    throw new SessionError('CORRUPT', `${what}. ${restoreOrDiscard(id)}`);
  }
  // Only sessions of an earlier release have one.
  const { openOverlay } = await import('../../block/overlay/overlay.ts');
  return openOverlay({ files, clock, directory, disk: disk.name, space }, base);
}
