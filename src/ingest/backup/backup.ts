import { SEGMENT_LENGTH } from '../../formats/store/packs/node.ts';
import type { PointDisk, PointLink, PointRecord } from '../../formats/store/catalog/point.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { checkName } from '../../catalog/names.ts';
import { olderState } from '../../catalog/older-state.ts';
import { tryHoldPoint } from '../../catalog/point-lease.ts';
import { isPublished, readPoint } from '../../catalog/points.ts';
import { newestBackup } from '../../catalog/publication.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { lostSegments } from '../../store/write/lost-segments.ts';
import type { SegmentRange } from '../../store/write/tree-builder.ts';
import type { Store } from '../../store/directory/store.ts';
import { formatSize } from '../../lib/sizes.ts';
import { type ChangedBlocks, requireWithin, touchedPieces } from './changed-blocks.ts';
import type { Scope } from './copy-disk.ts';
import {
  checkDisks,
  type MachineDisk,
  type MachineNotes,
  type MachineWriting,
  storeMachine,
  withMachineWriting,
} from './store-machine.ts';
import { openSource } from '../source/open-source.ts';
import type { Source } from '../source/source.ts';
import { whileThereIsRoom } from './store-room.ts';
import type { ImageFormat } from '../source/image-format.ts';
import type { IsSecret } from '../source/image-source.ts';
import { IngestError } from '../source/ingest-error.ts';

export interface BackupDisk {
  readonly name: string;
  /** A file, a block device, or an NBD URI. */
  readonly where: string;
  readonly format: ImageFormat | undefined;
}

export interface BackupOptions extends MachineOptions {
  readonly disks: readonly BackupDisk[];
  readonly isSecret: IsSecret;
  readonly workers: number;
}

export interface MachineOptions extends MachineNotes {
  readonly set: OpenSet;
  readonly machine: string;
  /** The ID of the recovery point to be made; undefined: it gets one once its disks are stored. */
  readonly id?: string | undefined;
  /** The machine's newest recovery point as the box remembers it: the store may have an older state. */
  readonly known?: PointLink | undefined;
  /** A disk that it does not name is read completely. */
  readonly changed?: ChangedBlocks | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called once all is stored, right before the recovery point is published: if it rejects, that is not. */
  readonly confirm?: (() => Promise<void>) | undefined;
  readonly onEvent: (event: BackupEvent) => void;
}

export type BackupEvent =
  /** The index is catching up with the packs. */
  | { readonly kind: 'indexing'; readonly done: number; readonly total: number }
  | {
      readonly kind: 'disk';
      readonly disk: string;
      readonly size: number;
      /** The parts that are read, and why. */
      readonly scope: 'changes' | 'all';
      readonly reason: string;
    }
  /** A part of the store is missing or damaged; the backup continues without it. */
  | { readonly kind: 'damage'; readonly where: string; readonly what: string }
  /** Bytes over all disks. */
  | {
      readonly kind: 'progress';
      readonly position: number;
      readonly total: number;
      readonly readBytes: number;
      readonly storedBytes: number;
    };

/**
 * Makes a recovery point of a machine's disks. Until it is published nothing refers to the stored data; a repeat
 * finds that data again. If a source cannot be read to its end, rejects and publishes nothing.
 */
export async function backup(store: Store, options: BackupOptions): Promise<PointRecord> {
  const { set, machine, disks, isSecret, workers, signal, onEvent } = options;
  await using stack = new AsyncDisposableStack();
  // Sources first: their errors should be reported before anything is locked.
  const sources: NamedSource[] = [];
  const limited = whileThereIsRoom(store);
  for (const { name, where, format } of disks) {
    const source = stack.use(await openSource(store, where, { format, isSecret, signal }));
    sources.push({ ...source, name, device: limited(source.device) });
  }
  const writing = {
    set,
    workers,
    holder: `backup create ${set.name} of ${machine}`,
    onIndexing: (done: number, total: number) => onEvent({ kind: 'indexing', done, total }),
    onDamage: (where: string, what: string) => onEvent({ kind: 'damage', where, what }),
  };
  return await withMachineWriting(store, writing, (parts) =>
    storeSources(store, options, { ...parts, sources }),
  );
}

/** Hides the latency of sources; their memory is that of one disk, which they share. */
const DISKS_AT_ONCE = 4;

/** A disk of the machine that is open for reading; lent. */
export interface NamedSource extends Omit<Source, keyof AsyncDisposable> {
  readonly name: string;
}

/** The backup itself, once everything it needs is open: all of it is lent. Rejects BAD_NAME before it stores any. */
export async function storeSources(
  store: Store,
  options: MachineOptions,
  parts: MachineWriting & { readonly sources: readonly NamedSource[] },
): Promise<PointRecord> {
  const { id, machine, known, signal, confirm, onEvent } = options;
  const { files, consistency, run, tracking } = options;
  const { sources, writer } = parts;
  checkName(machine, 'machine');
  checkDisks(sources.map(({ name }) => name));
  await using held = await heldBase(store, options);
  const { base } = held;
  const total = sources.reduce((sum, { device }) => sum + device.geometry.size, 0);
  const positions = new Map<string, number>();
  let reached = 0;
  return await storeMachine(store, parts, {
    ...{ files, consistency, run, tracking },
    id,
    machine,
    known,
    signal,
    parent: base.parent?.id,
    origin: 'backup',
    disks: plannedDisks(store, options, { ...parts, base }),
    atOnce: DISKS_AT_ONCE,
    onProgress(disk, position, readBytes) {
      const { storedBytes } = writer.stats;
      reached += position - (positions.get(disk) ?? 0);
      positions.set(disk, position);
      onEvent({ kind: 'progress', total, position: reached, readBytes, storedBytes });
    },
    async onStored(disks) {
      // The parts that the store had lost were read again.
      for (const { reference } of disks) {
        if (reference) await writer.markWhole(reference.digest);
      }
      await confirm?.();
    },
  });
}

interface Base {
  /** Undefined: there is none. */
  readonly parent: PointRecord | undefined;
  /** Why the changed-block list does not cover the changes since then; undefined: it does. */
  readonly gap: string | undefined;
}

/**
 * The parent may be forgotten while the backup runs: what is not read of the disks stays as the parent has it. Rejects
 * CORRUPT, BAD_CHANGES.
 */
async function heldBase(
  store: Store,
  options: MachineOptions,
): Promise<AsyncDisposable & { readonly base: Base }> {
  const { set, machine } = options;
  for (;;) {
    const base = await baseOf(store, options);
    if (!base.parent) return { base, async [Symbol.asyncDispose]() {} };
    const lease = await tryHoldPoint(store, set, base.parent, `backup of ${machine}`);
    // Without one it has just been forgotten: another one is the base, or none.
    if (lease) return { base, [Symbol.asyncDispose]: () => lease[Symbol.asyncDispose]() };
  }
}

/** Rejects CORRUPT, BAD_CHANGES. */
async function baseOf(
  store: Store,
  { set, machine, changed, known, onEvent }: MachineOptions,
): Promise<Base> {
  const older =
    known && (await olderState(store, { set: set.name, machine, point: known }, set.keys.record));
  if (older) onEvent({ kind: 'damage', where: older.path, what: older.reason });
  if (changed?.since !== undefined) {
    const { since } = changed;
    if (await isPublished(store, { set: set.name, id: since })) {
      const parent = await readPoint(store, set, since);
      if (parent.machine === machine) return { parent, gap: undefined };
      throw new IngestError('BAD_CHANGES', `${since} is a recovery point of ${parent.machine}`);
    }
  }
  const { point: parent, damaged, forgotten } = await newestBackup(store, set, machine);
  if (!changed) return { parent, gap: undefined };
  if (changed.since !== undefined) {
    const gap = 'the recovery point from which the changes are counted no longer exists';
    return { parent, gap };
  }
  if (older) {
    const gap = `${known?.id}, from which the changes may be counted, is missing: the store has an older state`;
    return { parent, gap };
  }
  if (damaged) {
    const advice = `the changes may be counted from it: forget it, or give "since"`;
    throw new CatalogError('CORRUPT', `${damaged.reason}; ${advice}`);
  }
  const gap = forgotten && `${forgotten}, from which the changes are counted, was forgotten`;
  return { parent, gap };
}

/** What is read of each disk, judged before any is read. */
async function* plannedDisks(
  { packs }: Store,
  { changed, onEvent }: MachineOptions,
  {
    sources,
    writer,
    nodes,
    base: { parent, gap },
  }: MachineWriting & { readonly sources: readonly NamedSource[]; readonly base: Base },
): AsyncGenerator<MachineDisk> {
  const plans = sources.map((source) => {
    const { name, device } = source;
    const { size } = device.geometry;
    const before = parent?.disks.find((disk) => disk.name === name);
    const plan = scopeOf(
      { name, size },
      { before, gap, changed: changed?.disks.get(name), unknown: changed?.unknown?.get(name) },
    );
    return { source, base: before && before.size <= size ? before : undefined, plan };
  });
  for (const { source, base, plan } of plans) {
    const { name, where: from, device, sectorSize } = source;
    const { size } = device.geometry;
    const isAsked = plan.scope.kind === 'segments' && writer.hasLoss;
    const lost = base && isAsked ? await lostSegments(base, { nodes, packs, writer }) : [];
    const { scope, reason } = withLost(plan, lost, size);
    const kind = scope.kind === 'all' ? 'all' : 'changes';
    onEvent({ kind: 'disk', disk: name, size, scope: kind, reason });
    const rewritten = scope.kind === 'all' ? 'all' : lost;
    yield { name, from, device, sectorSize, base, scope, rewritten };
  }
}

/** The parts of a disk that are read, and why. */
interface DiskScope {
  readonly scope: Scope;
  readonly reason: string;
}

/**
 * A changed-block list applies only to a disk that was backed up before, and has not shrunk since. Rejects
 * BAD_CHANGES.
 */
function scopeOf(
  { name, size }: { readonly name: string; readonly size: number },
  {
    before,
    gap,
    changed,
    unknown = 'there is no changed-block list for it',
  }: {
    readonly before: PointDisk | undefined;
    readonly gap: string | undefined;
    readonly unknown: string | undefined;
    readonly changed: readonly { readonly offset: number; readonly length: number }[] | undefined;
  },
): DiskScope {
  const all: Scope = { kind: 'all' };
  if (!changed) return { scope: all, reason: unknown };
  if (gap !== undefined) return { scope: all, reason: gap };
  if (!before) return { scope: all, reason: 'there is no earlier recovery point of it' };
  if (before.size > size) return { scope: all, reason: 'it has shrunk' };
  requireWithin(changed, { name, size });
  // The part by which it grew counts as changed; the last segment may have ended at the old size.
  const grown = size > before.size ? [{ offset: before.size, length: size - before.size }] : [];
  const segments = touchedPieces([...changed, ...grown], SEGMENT_LENGTH, size);
  return { scope: { kind: 'segments', segments }, reason: 'there is a changed-block list' };
}

/** Adds what the store has lost since then: a list of changes does not contain it. */
function withLost(
  { scope, reason }: DiskScope,
  lost: readonly SegmentRange[],
  size: number,
): DiskScope {
  if (scope.kind === 'all' || lost.length === 0) return { scope, reason };
  const bytesOf = ({ first, count }: SegmentRange) => ({
    offset: first * SEGMENT_LENGTH,
    length: Math.min(count * SEGMENT_LENGTH, size - first * SEGMENT_LENGTH),
  });
  const ranges = lost.map(bytesOf);
  const known = scope.segments.map(bytesOf);
  const segments = touchedPieces([...known, ...ranges], SEGMENT_LENGTH, size);
  const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
  return {
    scope: { kind: 'segments', segments },
    reason: `${reason}, and the store has lost ${formatSize(bytes)} of the previous recovery point`,
  };
}
