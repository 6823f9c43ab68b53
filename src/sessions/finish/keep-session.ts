import { BlockError } from '../../block/block-error.ts';
import { isPublished, newPointId, readPoint } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { SEGMENT_LENGTH } from '../../formats/store/packs/node.ts';
import type { PointDisk, PointLink, PointRecord } from '../../formats/store/catalog/point.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { touched } from '../../ingest/backup/changed-blocks.ts';
import {
  type MachineDisk,
  type MachineWriting,
  storeMachine,
  withMachineWriting,
} from '../../ingest/backup/store-machine.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Store } from '../../store/directory/store.ts';
import { type BlockReader, openBlockReader } from '../../store/read/block-reader.ts';
import { lostSegments } from '../../store/write/lost-segments.ts';
import { manifestDisk } from '../../store/read/manifest-disk.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from '../state/session-error.ts';
import { advance } from '../state/session-executor.ts';
import { next } from '../state/session-state.ts';
import { sessionSpace } from '../state/session-space.ts';
import { overlayOf } from '../state/session-overlays.ts';
import { readJournal, sessionJournal, writeJournal } from '../state/session-files.ts';
import { holdFound, stepsWithoutKeys } from '../state/held-session.ts';

export interface KeepOptions {
  readonly set: OpenSet;
  /** Called with the record once no other process holds the session; rejects if the session must not be kept. */
  readonly allow?: (record: SessionRecord) => Promise<void>;
  readonly workers: number;
  /** The machine's newest recovery point as the box remembers it. */
  readonly known: PointLink | undefined;
  readonly onProgress: (disk: string, position: number) => void;
  /** Called when a part of the store is missing or damaged; the work continues. */
  readonly onDamage: (where: string, what: string) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes a recovery point of the session's disks, and ends the session. If that fails the session stays as it was.
 * Rejects RUNNING, NOT_FOUND, CORRUPT if written data cannot be read, and IMPOSSIBLE once it is being discarded.
 */
export async function keepSession(
  store: Store,
  id: string,
  { set, workers, known, allow, onProgress, onDamage, signal }: KeepOptions,
): Promise<{ readonly point: string }> {
  await using stack = new AsyncDisposableStack();
  const { record, lock } = await holdFound(store, id);
  stack.use(lock);
  await allow?.(record);
  const reader = stack.use(openBlockReader(store, {}));
  const writing = { set, workers, holder: `session keep ${id}`, onDamage };
  const point = await withMachineWriting(store, writing, (parts) =>
    keepHeld(store, record, { ...parts, reader, known, onProgress, onDamage, signal }),
  );
  return { point };
}

/**
 * The same for a session that the caller holds, with everything open that it needs (lent); returns the point's ID.
 */
export async function keepHeld(
  store: Store,
  record: SessionRecord,
  parts: KeepParts,
): Promise<string> {
  const as = record.keepAs ?? newPointId(store, record.machine);
  // Its machine was withdrawn for that: a stop of the service only interrupts it, and the next start goes on.
  const isOrdered = record.placement !== undefined && record.phase === 'keeping';
  await advance(
    store,
    record,
    { kind: 'keep', as },
    {
      ...stepsWithoutKeys(store),
      async publish(session) {
        try {
          await publish(store, session, parts);
        } catch (cause) {
          if (isOrdered && parts.signal?.aborted === true) throw cause;
          await giveUp(store, session);
          if (!isDamage(cause)) throw cause;
          throw notKept(
            session,
            cause.message,
            'Once it has written all damaged pages again, keep the session',
          );
        }
      },
    },
  );
  return as;
}

/**
 * Makes the session resumable again, unless its recovery point exists. A full or failing disk has no room for that:
 * then another `keep`, or `discard`, ends it.
 */
async function giveUp(store: Store, { id }: SessionRecord): Promise<void> {
  try {
    const session = (await readJournal(store, id))!;
    if (await isPublished(store, { set: session.set, id: session.keepAs! })) return;
    await writeJournal(store, next(session, { kind: 'not kept' })!);
  } catch (cause) {
    if (!(cause instanceof SystemError) && !(cause instanceof SessionError)) throw cause;
  }
}

function isDamage(cause: unknown): cause is BlockError {
  return cause instanceof BlockError && cause.code === 'CORRUPT';
}

function notKept({ id }: SessionRecord, why: string, next: string): SessionError {
  return new SessionError(
    'CORRUPT',
    `session ${id} was not kept, and is unchanged: ${why}. Resume it, and copy what matters out of the guest. ${next}`,
  );
}

export interface KeepParts extends MachineWriting {
  readonly reader: BlockReader;
  readonly known?: PointLink | undefined;
  readonly onProgress?: (disk: string, position: number) => void;
  readonly onDamage?: KeepOptions['onDamage'];
  readonly signal?: AbortSignal | undefined;
}

/** Makes a recovery point of the session's disks, reading only written ranges. */
async function publish(store: Store, session: SessionRecord, parts: KeepParts): Promise<void> {
  const { set, known, signal, onProgress } = parts;
  const id = session.keepAs!;
  // It was published already, before a crash.
  if (await isPublished(store, { set: set.name, id })) return;
  const point = await readPoint(store, set, session.point);
  const { machine, files } = point;
  await storeMachine(store, parts, {
    id,
    machine,
    // It is the same machine. How its disks were read, and what changes are counted from, is not true of a session.
    files,
    known,
    signal,
    parent: point.id,
    origin: 'session',
    disks: writtenDisks(store, session, point.disks, parts),
    onProgress: (disk, position) => onProgress?.(disk, position),
    onStored: (disks) => reportLoss(store, id, { ...parts, disks, point }),
  });
}

/**
 * The session's recovery point may have lost data that the guest has not written again, or a part of a file of the
 * machine: the new point lacks it too.
 */
async function reportLoss(
  { packs }: Store,
  id: string,
  {
    writer,
    nodes,
    disks,
    point,
    onDamage,
  }: KeepParts & { readonly disks: readonly PointDisk[]; readonly point: PointRecord },
): Promise<void> {
  if (!writer.hasLoss) return;
  for (const [at, disk] of disks.entries()) {
    const base = point.disks[at]?.reference;
    // Then only the written ranges are new.
    if (disk.reference && base && writer.isWhole(base.digest)) {
      await writer.markWhole(disk.reference.digest);
    }
  }
  for (const part of [...disks, ...(point.files ?? [])]) {
    const lost = await lostSegments(part, { nodes, packs, writer });
    const bytes = lost.reduce((sum, { count }) => sum + count * SEGMENT_LENGTH, 0);
    if (bytes === 0) continue;
    const what = `the store has lost data within ${formatSize(bytes)} of the session's recovery point`;
    onDamage?.(`${id}/${part.name}`, what);
  }
}

async function* writtenDisks(
  store: Store,
  session: SessionRecord,
  disks: readonly PointDisk[],
  { set, reader }: KeepParts,
): AsyncGenerator<MachineDisk> {
  const { keys } = set;
  const { begin } = sessionJournal(store, session);
  const space = sessionSpace(store, session);
  for (const disk of disks) {
    const { name, size, sectorSize } = disk;
    await using base = manifestDisk(reader, { name, root: disk, keys });
    await using overlay = await overlayOf(store, session, { disk, set, base, space, begin });
    // Any page may be older than the guest wrote it: that must not become a recovery point.
    if (overlay.readOnly !== undefined) {
      throw notKept(session, overlay.readOnly, 'Then discard it');
    }
    const pieces = touched(SEGMENT_LENGTH, size);
    for await (const extent of overlay.written()) pieces.add(extent);
    await using device = overlay.ascending();
    yield {
      name,
      device,
      sectorSize,
      from: `session ${session.id}`,
      base: disk,
      scope: { kind: 'segments', segments: pieces.runs() },
      // Contents that the base has lost exist nowhere else: they stay lost, and a check reports them.
      rewritten: [],
    };
  }
}
