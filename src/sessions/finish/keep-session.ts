import { BlockError } from '../../block/block-error.ts';
import { isPublished, newPointId, readPoint } from '../../catalog/points.ts';
import { publishPoint } from '../../catalog/publication.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { frameCodec } from '../../formats/store/packs/frame.ts';
import { SEGMENT_LENGTH } from '../../formats/store/packs/node.ts';
import type { PointDisk, PointLink } from '../../formats/store/catalog/point.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { touched } from '../../ingest/backup/changed-blocks.ts';
import { copyDisk } from '../../ingest/backup/copy-disk.ts';
import { formatSize } from '../../lib/sizes.ts';
import { type BlockReader, openBlockReader } from '../../store/read/block-reader.ts';
import { lostSegments } from '../../store/write/lost-segments.ts';
import { openDiskWriter } from '../../store/write/disk-writer.ts';
import { type Encoder, encoderPool } from '../../store/write/encoder.ts';
import { manifestDisk } from '../../store/read/manifest-disk.ts';
import { nodeReader } from '../../store/nodes/node-reader.ts';
import { type StoreWriter, withStoreWriter } from '../../store/write/store-writer.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from '../state/session-error.ts';
import { advance } from '../state/session-executor.ts';
import { next } from '../state/session-state.ts';
import { type SessionHouse, sessionSpace } from '../state/session-store.ts';
import { overlayOf } from '../state/session-overlays.ts';
import { readJournal, sessionJournal, writeJournal } from '../state/session-files.ts';
import { holdFound, stepsWithoutKeys } from '../state/held-session.ts';

export interface KeepOptions {
  readonly set: OpenSet;
  /** Rejects where the record, as it is once no other process holds the session, is not to be obeyed. */
  readonly allow?: (record: SessionRecord) => Promise<void>;
  readonly workers: number;
  /** The machine's newest recovery point, as the box remembers it. */
  readonly known: PointLink | undefined;
  readonly onProgress: (disk: string, position: number) => void;
  /** Called when something of the store is missing or damaged; the work continues. */
  readonly onDamage: (where: string, what: string) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes what the session's disks hold a recovery point, and ends the session. Where that fails the session is as it
 * was. Rejects RUNNING, NOT_FOUND, CORRUPT where something that was written cannot be read, and IMPOSSIBLE once it is
 * being discarded.
 */
export async function keepSession(
  house: SessionHouse,
  id: string,
  { set, workers, known, allow, onProgress, onDamage, signal }: KeepOptions,
): Promise<{ readonly point: string }> {
  const { world, store } = house;
  await using stack = new AsyncDisposableStack();
  const { record, lock } = await holdFound(house, id);
  stack.use(lock);
  await allow?.(record);
  const { domain, cutting } = set.record;
  const { keys } = set;
  const holder = `session keep ${id}`;
  const { random } = world;
  const reader = stack.use(openBlockReader(store, {}));
  const point = await withStoreWriter(
    world,
    store,
    { domain, holder, onDamage },
    async (writer) => {
      await using encoder = encoderPool({ keys, cutting, random, writer, workers });
      const parts = { set, reader, writer, encoder, known, onProgress, onDamage, signal };
      return await keepHeld(house, record, parts);
    },
  );
  return { point };
}

/** The same of a session that the caller holds, with all open that it needs, which is lent; answers the point's ID. */
export async function keepHeld(
  house: SessionHouse,
  record: SessionRecord,
  parts: KeepParts,
): Promise<string> {
  const as = record.keepAs ?? newPointId(house.world, record.machine);
  await advance(
    house,
    record,
    { kind: 'keep', as },
    {
      ...stepsWithoutKeys(house),
      async publish(session) {
        try {
          await publish(house, session, parts);
        } catch (cause) {
          await giveUp(house, session);
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
 * Lets the session be resumed again, unless its recovery point is there. A full disk, or a bad one, has no room for
 * that: then another `keep`, or `discard`, ends it.
 */
async function giveUp({ world, store }: SessionHouse, { id }: SessionRecord): Promise<void> {
  try {
    const session = (await readJournal(world, store, id))!;
    if (await isPublished(world, store, { set: session.set, id: session.keepAs! })) return;
    await writeJournal(world, store, next(session, { kind: 'not kept' })!);
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
    `session ${id} was not kept, and is as it was: ${why}. Resume it, and copy what matters out of the guest. ${next}`,
  );
}

export interface KeepParts {
  readonly set: OpenSet;
  readonly reader: BlockReader;
  readonly writer: StoreWriter;
  readonly encoder: Encoder;
  readonly known?: PointLink | undefined;
  readonly onProgress?: (disk: string, position: number) => void;
  readonly onDamage?: KeepOptions['onDamage'];
  readonly signal?: AbortSignal | undefined;
}

/** Makes a recovery point of what the session's disks hold, reading only where they were written. */
async function publish(
  house: SessionHouse,
  session: SessionRecord,
  parts: KeepParts,
): Promise<void> {
  const { world, store } = house;
  const { set, writer } = parts;
  const id = session.keepAs!;
  // Done already, before a crash.
  if (await isPublished(world, store, { set: set.name, id })) return;
  const point = await readPoint(world, store, set, session.point);
  const disks: PointDisk[] = [];
  let readBytes = 0;
  const { begin } = sessionJournal(world, store, session);
  for (const disk of point.disks) {
    const kept = await keepDisk(house, session, { ...parts, disk, begin });
    disks.push(kept.disk);
    readBytes += kept.readBytes;
  }
  await writer.commit();
  await tellLoss(house, id, { ...parts, disks, before: point.disks });
  const { machine } = point;
  const draft = {
    ...{ id, machine, parent: point.id, disks },
    stats: { readBytes, storedBytes: writer.stats.storedBytes },
  };
  await publishPoint(world, store, set, { ...draft, origin: 'session' }, parts.known);
}

/** What the session began from may have lost something that no guest has written again: the new point lacks it too. */
async function tellLoss(
  { store: { packs } }: SessionHouse,
  id: string,
  {
    set,
    writer,
    disks,
    before,
    onDamage,
  }: KeepParts & { readonly disks: readonly PointDisk[]; readonly before: readonly PointDisk[] },
): Promise<void> {
  if (!writer.hasLoss) return;
  const nodes = nodeReader(packs, frameCodec(set.keys));
  for (const [at, disk] of disks.entries()) {
    const base = before[at]?.reference;
    // Then what was written over it is all that is new.
    if (disk.reference && base && writer.isWhole(base.digest)) {
      await writer.markWhole(disk.reference.digest);
    }
    const lost = await lostSegments(disk, { nodes, packs, writer });
    const bytes = lost.reduce((sum, { count }) => sum + count * SEGMENT_LENGTH, 0);
    if (bytes === 0) continue;
    const what = `the store has lost something in ${formatSize(bytes)} of what the session began from`;
    onDamage?.(`${id}/${disk.name}`, what);
  }
}

async function keepDisk(
  house: SessionHouse,
  session: SessionRecord,
  {
    disk,
    set,
    reader,
    writer,
    encoder,
    onProgress,
    begin,
    signal,
  }: KeepParts & {
    readonly disk: PointDisk;
    readonly begin: (disk: string) => Promise<void>;
  },
) {
  const { world, store } = house;
  const { keys } = set;
  const { size, name, sectorSize } = disk;
  await using base = manifestDisk(reader, { name, root: disk, keys });
  const space = sessionSpace(house, session);
  await using overlay = await overlayOf(house, session, { disk, set, base, space, begin });
  // Any page may be an older one than the guest wrote: that must not become a recovery point.
  if (overlay.readOnly !== undefined) {
    throw notKept(session, overlay.readOnly, 'Then discard it');
  }
  const nodes = nodeReader(store.packs, frameCodec(keys));
  const diskWriter = await openDiskWriter({
    ...{ writer, encoder, keys, random: world.random, nodes, size },
    parent: disk,
    // Contents that the base has lost exist nowhere else: they stay lost, and a check names them.
    rewritten: [],
  });
  const pieces = touched(SEGMENT_LENGTH, size);
  for await (const extent of overlay.written()) pieces.add(extent);
  const segments = pieces.runs();
  await using source = overlay.ascending();
  const readBytes = await copyDisk(source, diskWriter, {
    scope: { kind: 'segments', segments },
    signal,
    onProgress: (position) => onProgress?.(name, position),
  });
  const { reference } = await diskWriter.finish();
  const from = `session ${session.id}`;
  return {
    readBytes,
    disk: { name, size, reference, source: from, ...(sectorSize && { sectorSize }) },
  };
}
