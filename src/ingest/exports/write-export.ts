import { BlockError } from '../../block/block-error.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { holdPoint } from '../../catalog/point-lease.ts';
import { pointRecordBytes } from '../../catalog/points.ts';
import { loadProfile } from '../../catalog/profiles.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { encodeProfile } from '../../formats/store/catalog/profile.ts';
import { encodeSet } from '../../formats/store/catalog/set-record.ts';
import {
  encodeExportContents,
  encodeExportIndex,
  EXPORT_POINTS_MAX,
  type IndexedPoint,
} from '../../formats/store/exports/export-contents.ts';
import { fitsExport } from '../../formats/store/exports/export-record.ts';
import { frameCodec } from '../../formats/store/packs/frame.ts';
import type { Store } from '../../store/directory/store.ts';
import { nodeReader } from '../../store/nodes/node-reader.ts';
import { IngestError } from '../source/ingest-error.ts';
import { type ByteSink, exportWriter } from './export-writer.ts';
import { frameReading, framesOf } from './point-frames.ts';
import { type SeenFrames, seenFrames } from './seen-frames.ts';

/*
 * Recovery points become one file, which is written from its beginning to its end. The manifests are read twice: first
 * to say at the beginning how large each point is. A point that cannot be read whole is left out, and named; what the
 * file has of it is used by points that share it.
 */

export interface SetToExport {
  readonly set: OpenSet;
  /** In the order of their publication. */
  readonly points: readonly PointRecord[];
}

export interface ExportOptions {
  readonly signal: AbortSignal | undefined;
  /** Points looked through, before anything is written. */
  readonly onPlanned: (done: number, total: number) => void;
  /** The bytes of all frames that are needed, before anything is written. A rejection ends the export. */
  readonly onBegin: (total: number) => Promise<void>;
  /** Bytes of frames written; `total`: of all that are needed. */
  readonly onProgress: (position: number, total: number) => void;
}

export interface WrittenExport {
  /** Bytes of the file. */
  readonly bytes: number;
  readonly points: readonly WrittenPoint[];
}

export interface WrittenPoint {
  readonly set: string;
  readonly point: PointRecord;
  /** Why it is not in the file; undefined: it is. */
  readonly reason: string | undefined;
}

interface PlannedPoint {
  /** The number of its set. */
  readonly of: number;
  readonly set: OpenSet;
  readonly point: PointRecord;
  readonly frames: number;
  readonly bytes: number;
  readonly reason: string | undefined;
}

/** Rejects UNSUPPORTED for more points than one file can list, and what `sink` rejects. */
export async function writeExport(
  store: Store,
  sets: readonly SetToExport[],
  sink: ByteSink,
  options: ExportOptions,
): Promise<WrittenExport> {
  const { signal } = options;
  const planned = await planOf(store, sets, options);
  const contents = encodeExportContents({
    created: store.clock.now().toISOString(),
    sets: sets.map(({ set: { name, record } }) => ({ name, encrypted: record.slots.length > 0 })),
    points: planned.map(({ of, point, frames, bytes }) => ({
      ...{ set: of, id: point.id, machine: point.machine, created: point.created },
      disks: point.disks.map(({ name, size }) => ({ name, size })),
      ...{ frames, bytes },
    })),
  });
  if (!fitsExport('begin', contents.length)) throw tooMany(planned.length);
  const total = planned.reduce((sum, { bytes }) => sum + bytes, 0);
  await options.onBegin(total);
  const writer = exportWriter(sink, store.random);
  await writer.record('begin', 0, contents);
  for (const [of, { set }] of sets.entries()) {
    await writer.record('set', of, encodeSet(set.record));
  }
  const reading = frameReading(store.packs);
  const seen = seenFrames(store.packs);
  let position = 0;

  async function writeFrames({ of, set, point }: PlannedPoint): Promise<void> {
    const nodes = nodeReader(store.packs, frameCodec(set.keys));
    for await (const needed of framesOf(point, nodes, seen)) {
      signal?.throwIfAborted();
      const wanted = needed.kind === 'node' ? [needed.frame] : await unseen(seen, needed.frames);
      for await (const { frame, bytes } of reading.read(wanted)) {
        // A leaf may name a block more than once.
        if (await seen.has(frame)) continue;
        await writer.record('frame', of, bytes);
        await seen.add(frame);
        position += bytes.length;
        options.onProgress(position, Math.max(total, position));
      }
    }
  }
  /** Where its record begins. Rejects CORRUPT, NOT_FOUND. */
  async function writePoint(planned: PlannedPoint): Promise<number> {
    const { of, set, point, reason } = planned;
    if (reason !== undefined) throw new CatalogError('CORRUPT', reason);
    await using _lease = await holdPoint(store, set, point, `export of ${point.id}`);
    // Before its frames: it may be forgotten while they are read.
    const record = await pointRecordBytes(store, set, point.id);
    await writeFrames(planned);
    const { bytes } = writer;
    await writer.record('point', of, record);
    return bytes;
  }
  const index: IndexedPoint[] = [];
  const points: WrittenPoint[] = [];
  for (const [of, { set }] of sets.entries()) {
    const own = planned.filter((it) => it.of === of);
    await writer.record('set', of, encodeSet(set.record));
    for (const machine of new Set(own.map(({ point }) => point.machine))) {
      const profile = await loadProfile(store, set, machine);
      if (profile) await writer.record('profile', of, encodeProfile(profile, set.keys.record));
    }
    for (const it of own) {
      const { point } = it;
      const offset = await orReason(() => writePoint(it));
      const reason = typeof offset === 'string' ? offset : undefined;
      points.push({ set: set.name, point, reason });
      index.push({
        ...{ set: of, id: point.id, reason },
        offset: typeof offset === 'number' ? offset : undefined,
      });
    }
  }
  await writer.record('index', 0, encodeExportIndex({ points: index }));
  await writer.end();
  return { bytes: writer.bytes, points };
}

async function planOf(
  store: Store,
  sets: readonly SetToExport[],
  { signal, onPlanned }: ExportOptions,
): Promise<PlannedPoint[]> {
  const count = sets.reduce((sum, { points }) => sum + points.length, 0);
  if (count > EXPORT_POINTS_MAX) throw tooMany(count);
  const seen = seenFrames(store.packs);
  const planned: PlannedPoint[] = [];
  for (const [of, { set, points }] of sets.entries()) {
    const nodes = nodeReader(store.packs, frameCodec(set.keys));
    for (const point of points) {
      let frames = 0;
      let bytes = 0;
      const failed = await orReason(async () => {
        await using _lease = await holdPoint(store, set, point, `export of ${point.id}`);
        for await (const needed of framesOf(point, nodes, seen)) {
          signal?.throwIfAborted();
          for (const frame of needed.kind === 'node' ? [needed.frame] : needed.frames) {
            if (await seen.has(frame)) continue;
            await seen.add(frame);
            frames++;
            bytes += frame.length;
          }
        }
        return 0;
      });
      const reason = typeof failed === 'string' ? failed : undefined;
      planned.push({ of, set, point, frames, bytes, reason });
      onPlanned(planned.length, count);
    }
  }
  return planned;
}

async function unseen(seen: SeenFrames, frames: readonly Parameters<SeenFrames['has']>[0][]) {
  const found: (typeof frames)[number][] = [];
  for (const frame of frames) if (!(await seen.has(frame))) found.push(frame);
  return found;
}

/** The reason why a point cannot be exported, where it is damaged or gone: that ends no export of others. */
async function orReason(work: () => Promise<number>): Promise<number | string> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof CatalogError || cause instanceof BlockError) return cause.message;
    throw cause;
  }
}

function tooMany(count: number): IngestError {
  const what = `${count} recovery points are more than one file can list`;
  throw new IngestError('UNSUPPORTED', `${what}: export fewer of them into each file`);
}
