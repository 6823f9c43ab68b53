import { join } from 'node:path/posix';
import { readLayer } from '../block/layer.ts';
import { openOverlay, type Overlay } from '../block/overlay.ts';
import { type SpaceGuard, spaceGuard } from '../block/space-guard.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { releaseLease, takeLease } from '../catalog/leases.ts';
import { pointExists, publishPoint, readPoint } from '../catalog/points.ts';
import type { OpenSet } from '../catalog/sets.ts';
import { frameCodec } from '../formats/store/frame.ts';
import { SEGMENT_LENGTH } from '../formats/store/node.ts';
import type { PointDisk, PointRecord } from '../formats/store/point.ts';
import type { SessionDisk, SessionRecord } from '../formats/store/session.ts';
import { touchedPieces } from '../ingest/changed-blocks.ts';
import { copyDisk } from '../ingest/copy-disk.ts';
import { MiB } from '../lib/sizes.ts';
import type { BlockReader } from '../store/block-reader.ts';
import { openDiskWriter } from '../store/disk-writer.ts';
import type { Encoder } from '../store/encoder.ts';
import { manifestDisk } from '../store/manifest-disk.ts';
import { nodeReader } from '../store/node-reader.ts';
import type { Store } from '../store/store.ts';
import type { StoreWriter } from '../store/store-writer.ts';
import type { World } from '../sys/world.ts';
import { SessionError } from './session-error.ts';
import { removeSession, sessionDirectory } from './session-files.ts';

/** Where sessions live. */
export interface SessionHouse {
  readonly world: World;
  readonly store: Store;
}

/** What is left to others on the disk that sessions write to. */
export const SPACE_RESERVE = 512 * MiB;

export function sessionSpace(
  { world, store }: SessionHouse,
  { id, whenFull }: SessionRecord,
  onPause: () => void,
): SpaceGuard {
  const { files, clock } = world;
  const directory = sessionDirectory(store, id);
  return spaceGuard({ files, clock, directory, reserve: SPACE_RESERVE, whenFull, onPause });
}

/** Takes the lease and makes empty overlays. */
export async function prepare(house: SessionHouse, session: SessionRecord): Promise<void> {
  const { world, store } = house;
  const { id, set, point } = session;
  await takeLease(world, store, id, { set, point, holder: `session ${id}` });
  // Only now is it sure to stay.
  if (!(await pointExists(world, store, { set, id: point }))) {
    throw new SessionError('NOT_FOUND', `recovery point ${point} has just been forgotten`);
  }
  const space = sessionSpace(house, session, () => {});
  for (const disk of session.disks) {
    const nothing = readLayer('nothing', { size: disk.size, blockSize: 4096 }, { async read() {} });
    await using _made = await overlayOf(house, session, { disk, base: nothing, space });
  }
  await world.files.syncDirectory(sessionDirectory(store, id));
}

export interface OverlayOf {
  readonly disk: SessionDisk;
  readonly base: BlockDevice;
  readonly space: SpaceGuard;
}

/** Opens the overlay of a disk. Of a session past its preparation a lost one is never made anew. */
export async function overlayOf(
  { world, store }: SessionHouse,
  { id, phase }: SessionRecord,
  { disk, base, space }: OverlayOf,
): Promise<Overlay> {
  const { files, clock } = world;
  const directory = sessionDirectory(store, id);
  if (phase !== 'preparing' && !(await files.stat(join(directory, `${disk.name}.map`)))) {
    throw new SessionError('CORRUPT', `session ${id} has lost the overlay of disk ${disk.name}`);
  }
  return openOverlay({ files, clock, directory, disk: disk.name, space }, base);
}

export interface PublishParts {
  readonly set: OpenSet;
  readonly reader: BlockReader;
  readonly writer: StoreWriter;
  readonly encoder: Encoder;
  readonly onProgress?: (disk: string, position: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Makes a recovery point of what the session's disks hold, reading only where they were written. */
export async function publish(
  house: SessionHouse,
  session: SessionRecord,
  parts: PublishParts,
): Promise<void> {
  const { world, store } = house;
  const { set, writer } = parts;
  const id = session.keepAs!;
  // Done already, before a power cut.
  if (await pointExists(world, store, { set: set.name, id })) return;
  const point = await readPoint(world, store, set, session.point);
  const disks: PointDisk[] = [];
  let readBytes = 0;
  for (const disk of point.disks) {
    const kept = await keepDisk(house, session, { ...parts, disk });
    disks.push(kept.disk);
    readBytes += kept.readBytes;
  }
  await writer.commit();
  await publishPoint(world, store, set, {
    id,
    machine: point.machine,
    parent: point.id,
    origin: 'session',
    disks,
    stats: { readBytes, storedBytes: writer.stats.storedBytes },
  });
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
    signal,
  }: PublishParts & {
    readonly disk: PointDisk;
  },
) {
  const { world, store } = house;
  const { keys } = set;
  const { size, name } = disk;
  await using base = manifestDisk(reader, { name, root: disk, keys });
  const space = sessionSpace(house, session, () => {});
  await using overlay = await overlayOf(house, session, { disk, base, space });
  const nodes = nodeReader(store.packs, frameCodec(keys));
  const options = { writer, encoder, keys, random: world.random, nodes, size, parent: disk };
  const diskWriter = await openDiskWriter(options);
  const segments = touchedPieces(overlay.written(), SEGMENT_LENGTH, size);
  const readBytes = await copyDisk(overlay, diskWriter, {
    scope: { kind: 'segments', segments },
    signal,
    onProgress: (position) => onProgress?.(name, position),
  });
  const { reference } = await diskWriter.finish();
  return { readBytes, disk: { name, size, reference, source: `session ${session.id}` } };
}

/** Removes all that the session had. */
export async function clean({ world, store }: SessionHouse, { id }: SessionRecord): Promise<void> {
  await releaseLease(world, store, id);
  await removeSession(world, store, id);
}

/** The disks of a recovery point, by the names that a session has for them. */
export function sessionDisks({ disks }: PointRecord): SessionDisk[] {
  return disks.map(({ name, size }) => ({ name, size }));
}
