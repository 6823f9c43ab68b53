import { findPoint, listPoints, type PageRequest, pageOfPoints } from '../../catalog/points.ts';
import { forgetLost, forgetPoint } from '../../catalog/publication.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { checkName, checkNames } from '../../catalog/names.ts';
import { backup } from '../../ingest/backup/backup.ts';
import { readChangedBlocks } from '../../ingest/backup/changed-blocks.ts';
import { formatName, parseImageFormat } from '../../ingest/source/image-format.ts';
import { checkTarget, restoreDisk } from '../../ingest/restore/restore.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { MadePoint, PointSummary } from '../../operations/nouns/backup.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { DamagedPoint } from '../../operations/base/fields.ts';
import { openBlockReader } from '../../store/read/block-reader.ts';
import { manifestDisk } from '../../store/read/manifest-disk.ts';
import { MiB } from '../../lib/sizes.ts';
import { runProgram } from '../../host/base/programs.ts';
import { requireErasable } from './erasure.ts';
import { checkDeletions } from './deletions.ts';
import { backupNotes, madePoint } from './backup-notes.ts';
import { summaryOf } from './shown-point.ts';
import { knownPoint, notePublished, olderMachines } from './published-points.ts';
import {
  type Engine,
  openPoint,
  openSet,
  type SecretSource,
  type WorkOptions,
} from '../base/engine.ts';
import type { PointPlace } from '../../catalog/point-places.ts';

type BackupRequest = RequestOf<'backup/create'>;
type RestoreRequest = RequestOf<'restore/disk'>;

export async function createBackup(
  engine: Engine,
  { set, machine, disks, format, changed }: BackupRequest,
  { secrets, signal, report, isSecret }: WorkOptions & { readonly isSecret: IsSecret },
): Promise<MadePoint> {
  const { as, names } = checkBackup({ machine, disks, format });
  const { store, workers } = engine;
  const ranges =
    changed === undefined ? undefined : await readChangedBlocks(store.files, changed, names);
  const open = await openSet(engine, set, secrets);
  const notes = backupNotes(report, { hasList: ranges !== undefined });
  const known = await knownPoint(engine, { set, machine });
  const point = await backup(store, {
    set: open,
    machine,
    disks: disks.map((disk) => ({ ...disk, format: as })),
    ...{ changed: ranges, known },
    ...{ isSecret, workers, signal },
    onEvent: notes.onEvent,
  });
  const notice = (message: string): void => report({ event: 'notice', message });
  await notePublished(engine, open, point.id, notice);
  return madePoint(point, notes);
}

/** Checks as much of a request as possible without the store. Throws BAD_NAME, UNSUPPORTED. */
export function checkBackup({
  machine,
  disks,
  format,
}: Pick<BackupRequest, 'machine' | 'disks' | 'format'>) {
  checkName(machine, 'machine');
  const names = disks.map(({ name }) => name);
  checkNames(names, 'disk');
  return { names, as: format === undefined ? undefined : parseImageFormat(format) };
}

export interface PointListing {
  readonly points: readonly PointSummary[];
  readonly damaged: readonly DamagedPoint[];
}

export async function points(
  engine: Engine,
  {
    set,
    machine,
    run,
  }: {
    readonly set: string | undefined;
    readonly machine: string | undefined;
    readonly run?: string | undefined;
  },
): Promise<PointListing> {
  const { store } = engine;
  const list = await listPoints(store, set);
  // Points that are listed as well need not be searched.
  const listed = new Set(list.points.map((point) => `${point.set}/${point.id}`));
  const older = await olderMachines(engine, [], (it) => {
    const isAsked = (set ?? it.set) === it.set && (machine === undefined || it.machine === machine);
    return isAsked && !listed.has(`${it.set}/${it.point}`);
  });
  const wanted = list.points.filter(
    (point) =>
      (machine === undefined || point.machine === machine) &&
      (run === undefined || point.run === run),
  );
  return {
    points: wanted.map(summaryOf),
    damaged: [...list.damaged, ...older].map(({ path, reason }) => ({ path, reason })),
  };
}

export async function pointPage(
  { store, pointNames }: Engine,
  request: PageRequest,
): Promise<PointListing & { readonly total: number; readonly first: number }> {
  const { points, damaged, total } = await pageOfPoints(store, pointNames, request);
  return {
    points: points.map(summaryOf),
    damaged: damaged.map(({ path, reason }) => ({ path, reason })),
    ...{ total, first: request.first },
  };
}

export async function forget(engine: Engine, query: string): Promise<{ readonly point: string }> {
  const { store } = engine;
  await checkDeletions(engine);
  const place = await placeOf(engine, query);
  // A point that was deleted by other means can be forgotten as long as it is reported as missing.
  if (!place) return { point: (await forgetLost(store, query)).id };
  // The beginning of an ID suffices to view a recovery point, not to lose it.
  if (query !== place.id && query !== `${place.set}/${place.id}`) {
    const advice = `to forget it, give its whole ID: ${place.id}`;
    throw new CatalogError('AMBIGUOUS', `"${query}" is not the ID of a recovery point; ${advice}`);
  }
  await forgetPoint(store, place);
  return { point: place.id };
}

/** Undefined: it does not exist. */
async function placeOf({ store }: Engine, query: string): Promise<PointPlace | undefined> {
  try {
    return await findPoint(store, query);
  } catch (cause) {
    if (!(cause instanceof CatalogError) || cause.code !== 'NOT_FOUND') throw cause;
    return undefined;
  }
}

/** Each block is read once: a large cache would not help. */
const RESTORE_CACHE_LENGTH = 64 * MiB;

export async function restore(
  engine: Engine,
  request: RestoreRequest,
  { secrets, signal, report }: WorkOptions,
): Promise<ResultOf<'restore/disk'>> {
  const { store, workers } = engine;
  const { set, point, root, said } = await whatToRestore(engine, request, secrets);
  const { disk, to, overwrite, erase } = request;
  await using reader = openBlockReader(store, {
    threads: workers,
    clock: store.clock,
    cacheLength: RESTORE_CACHE_LENGTH,
  });
  await using device = manifestDisk(reader, { name: `${point.id}/${disk}`, root, keys: set.keys });
  const { writtenBytes, format } = await restoreDisk(store, device, {
    ...{ to, format: said, overwrite, signal, store },
    mayErase: (path) => requireErasable(runProgram, path, erase),
    onProgress: (progress) => report({ event: 'progress', ...progress }),
  });
  return { point: point.id, disk, to, format: formatName(format), size: root.size, writtenBytes };
}

/** Resolves with the ID of the point. Rejects as `restore` would at its beginning. */
export async function checkRestore(
  engine: Engine,
  request: RestoreRequest,
  secrets: SecretSource,
): Promise<string> {
  const { point, said } = await whatToRestore(engine, request, secrets);
  const { to, overwrite } = request;
  await checkTarget(engine.store, { to, format: said, overwrite });
  return point.id;
}

async function whatToRestore(
  engine: Engine,
  { point: query, disk, format }: RestoreRequest,
  secrets: SecretSource,
) {
  const said = format === undefined ? undefined : parseImageFormat(format);
  const { set, point } = await openPoint(engine, query, secrets);
  const root = point.disks.find(({ name }) => name === disk);
  if (root) return { set, point, root, said };
  const names = point.disks.map(({ name }) => name).join(', ');
  throw new CatalogError('NOT_FOUND', `${point.id} has no disk "${disk}": it has ${names}`);
}
