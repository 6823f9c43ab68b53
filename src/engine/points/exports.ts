import { dirname } from 'node:path/posix';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { findPoint, listPoints, readPoint } from '../../catalog/points.ts';
import { oldestFirst } from '../../catalog/publication-order.ts';
import { setNames } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { ByteSource } from '../../ingest/exports/export-reader.ts';
import type { ByteSink } from '../../ingest/exports/export-writer.ts';
import { lookAtExport } from '../../ingest/exports/look-export.ts';
import { type SetToExport, writeExport } from '../../ingest/exports/write-export.ts';
import { openPartFile } from '../../ingest/restore/part-file.ts';
import { requireOutside } from '../../ingest/restore/restore-limits.ts';
import { IngestError } from '../../ingest/source/ingest-error.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { realTarget } from '../../sys/files/real-path.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { backupReserve } from '../../store/directory/space-reserve.ts';
import type { Store } from '../../store/directory/store.ts';
import { type Engine, openSet, type SecretSource, type WorkOptions } from '../base/engine.ts';

/* Recovery points written to one file, and such a file looked at. */

type Request = RequestOf<'backup/export'>;
type Chosen = Pick<Request, 'points' | 'set' | 'machine' | 'run'>;
type Written = Omit<ResultOf<'backup/export'>, 'to'>;

/** To a new file, which appears when it is whole. Rejects EXISTS, REFUSED; CORRUPT if no point can be read. */
export async function exportToFile(
  engine: Engine,
  request: Request,
  options: WorkOptions,
): Promise<ResultOf<'backup/export'>> {
  const { store } = engine;
  const path = await newFile(store, request);
  await using part = await openPartFile(store, path);
  let at = 0;
  const written = await exportInto(engine, request, options, {
    onBegin: (bytes) => requireRoom(store, path, bytes),
    async sink(bytes) {
      await part.file.write(bytes, at);
      at += bytes.length;
    },
  });
  const [first] = written.failed;
  if (written.points.length === 0 && first) throw new CatalogError('CORRUPT', first.reason);
  await part.file.sync();
  // After hours, another process may have created a file of this name.
  await newFile(store, request);
  await part.publish();
  return { to: path, ...written };
}

async function newFile(store: Store, { to, overwrite }: Request): Promise<string> {
  const path = await realTarget(to);
  await requireOutside(path, store);
  const status = await store.files.stat(path);
  if (status && status.kind !== 'file') {
    const advice = 'for a tape or a pipe, give "--to -" and redirect standard output';
    throw new IngestError('REFUSED', `${path} is not a regular file: ${advice}`);
  }
  if (status && !overwrite) {
    throw new IngestError('EXISTS', `${path} exists: remove it, or give --overwrite`);
  }
  return path;
}

/** Rejects NO_SPACE, before hours are spent; beside the store, what is reserved for sessions is not taken. */
async function requireRoom(store: Store, path: string, bytes: number): Promise<void> {
  const { files } = store;
  const directory = dirname(path);
  const space = await files.space(directory);
  const [here, there] = await Promise.all([directory, store.directory].map((it) => files.stat(it)));
  const kept = here?.fileSystem === there?.fileSystem ? backupReserve(space, true) : 0;
  if (space.freeBytes - kept >= bytes) return;
  const reserve = kept > 0 ? ` (${formatSize(kept)} more are kept for sessions of the store)` : '';
  const free = formatSize(Math.max(0, space.freeBytes - kept));
  const what = `the export takes ${formatSize(bytes)}, and ${free} are free there`;
  throw new SystemError('NO_SPACE', `${path}: ${what}${reserve}. Nothing was written`);
}

interface Target {
  /** Called with what the export takes, before anything is written. */
  readonly onBegin: (bytes: number) => Promise<void>;
  readonly sink: ByteSink;
}

/** To wherever the sink leads. Rejects NOT_FOUND if no point is meant. */
export async function exportInto(
  engine: Engine,
  request: Chosen,
  { secrets, signal, report }: WorkOptions,
  { sink, onBegin }: Target,
): Promise<Written> {
  const { chosen, unreadable } = await chosenPoints(engine, request, secrets);
  const { bytes, points } = await writeExport(engine.store, chosen, sink, {
    ...{ signal, onBegin },
    onPlanned: (position, total) =>
      report({ event: 'progress', phase: 'planning', position, total }),
    onProgress: (position, total) =>
      report({ event: 'progress', phase: 'export', position, total, readBytes: position }),
  });
  const failed = points.flatMap(({ set, point, reason }) =>
    reason === undefined ? [] : [{ set, point: point.id, reason }],
  );
  return {
    bytes,
    points: points
      .filter(({ reason }) => reason === undefined)
      .map(({ set, point: { id, machine } }) => ({ set, point: id, machine })),
    failed: [...unreadable, ...failed],
  };
}

interface ChosenPoints {
  readonly chosen: readonly SetToExport[];
  readonly unreadable: Written['failed'];
}

async function chosenPoints(
  engine: Engine,
  { points: queries = [], set: all, machine, run }: Chosen,
  secrets: SecretSource,
): Promise<ChosenPoints> {
  const { store } = engine;
  if (queries.length === 0 && all === undefined && run === undefined) {
    const what = 'which recovery points? Name some, or give --set or --run';
    throw new CatalogError('NOT_FOUND', what);
  }
  if (machine !== undefined && queries.length > 0) {
    const what = '--machine selects among the recovery points of --set or --run';
    throw new IngestError('REFUSED', `${what}: it cannot be given with named recovery points`);
  }
  const named = new Map<string, Set<string>>();
  for (const query of queries) {
    const { set, id } = await findPoint(store, query);
    named.set(set, (named.get(set) ?? new Set()).add(id));
  }
  const isWanted = (point: PointRecord): boolean =>
    (all ?? point.set) === point.set &&
    (run ?? point.run) === point.run &&
    (machine ?? point.machine) === point.machine;
  const isBySet = all !== undefined || run !== undefined;
  const chosen: SetToExport[] = [];
  const unreadable: Written['failed'][number][] = [];
  for (const name of isBySet && all === undefined ? await setNames(store) : setsIn(named, all)) {
    const ids = named.get(name) ?? new Set<string>();
    const { points, damaged } = isBySet
      ? await listPoints(store, name)
      : { points: [], damaged: [] };
    for (const { id } of points.filter(isWanted)) ids.add(id);
    // Its record does not say whose it is, so it may be one of those that are meant.
    for (const { id, reason } of damaged) unreadable.push({ set: name, point: id, reason });
    if (ids.size === 0) continue;
    const set = await openSet(engine, name, secrets);
    const own = await Promise.all([...ids].map((id) => readPoint(store, set, id)));
    chosen.push({ set, points: oldestFirst(own) });
  }
  if (chosen.length > 0) return { chosen, unreadable };
  const [first] = unreadable;
  if (first) throw new CatalogError('CORRUPT', first.reason);
  throw new CatalogError('NOT_FOUND', 'no recovery point matches: see "backup list"');
}

function setsIn(named: ReadonlyMap<string, unknown>, all: string | undefined): readonly string[] {
  return [...new Set([...(all === undefined ? [] : [all]), ...named.keys()])].toSorted();
}

export async function inspectExport(
  files: FileSystem,
  { file, readData }: RequestOf<'backup/inspect-export'>,
  { signal, report }: Pick<WorkOptions, 'signal' | 'report'>,
): Promise<ResultOf<'backup/inspect-export'>> {
  await using source = await openExport(files, file);
  return await inspectPiped(source.read, readData, { signal, report }, source.size);
}

/** The same of what is piped in. `size` 0: not known. */
export async function inspectPiped(
  source: ByteSource,
  isRead: boolean,
  { signal, report }: Pick<WorkOptions, 'signal' | 'report'>,
  size = 0,
): Promise<ResultOf<'backup/inspect-export'>> {
  const { contents, damage, moreDamage } = await lookAtExport(source, {
    ...{ isRead, signal },
    onProgress: (position) =>
      report({
        ...{ event: 'progress', phase: 'check', position, total: Math.max(size, position) },
        readBytes: position,
      }),
  });
  const sets = contents?.sets ?? [];
  return {
    created: contents?.created ?? null,
    sets: sets.map(({ name, encrypted }) => ({ set: name, encrypted })),
    points: (contents?.points ?? []).map(({ set, id, machine, created, disks, bytes }) => ({
      ...{ set: sets[set]?.name ?? '', point: id, machine, created, disks, bytes },
    })),
    ...{ isRead, fileDamage: damage, moreDamage },
  };
}

interface OpenExport extends AsyncDisposable {
  readonly read: ByteSource;
  readonly size: number;
}

/** A file that can be read. Rejects NOT_FOUND, REFUSED. */
export async function openExport(files: FileSystem, path: string): Promise<OpenExport> {
  const status = await files.stat(path);
  if (!status) throw new SystemError('NOT_FOUND', `${path}: there is no such file`);
  if (status.kind !== 'file' && status.kind !== 'block-device') {
    const advice = 'of a tape or a pipe, give "-" and redirect standard input';
    throw new IngestError('REFUSED', `${path} is not a file: ${advice}`);
  }
  const file = await files.open(path, 'read');
  let at = 0;
  return {
    size: status.size,
    async read(into) {
      const got = await file.read(into, at);
      at += got;
      return got;
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}
