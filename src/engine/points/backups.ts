import { CatalogError } from '../../catalog/catalog-error.ts';
import { checkName, checkNames } from '../../catalog/names.ts';
import { openPointDisks } from '../../catalog/point-disks.ts';
import { backup } from '../../ingest/backup/backup.ts';
import { readChangedBlocks } from '../../ingest/backup/changed-blocks.ts';
import { formatName, parseImageFormat } from '../../ingest/source/image-format.ts';
import { checkTarget } from '../../ingest/restore/restore-target.ts';
import { restoreDisk } from '../../ingest/restore/restore.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { MadePoint } from '../../operations/nouns/backup.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { runProgram } from '../../host/base/programs.ts';
import { requireErasable } from './erasure.ts';
import { backupNotes, madePoint } from './backup-notes.ts';
import { knownPoint, notePublished } from './published-points.ts';
import {
  type Engine,
  openPoint,
  openSet,
  type SecretSource,
  type WorkOptions,
} from '../base/engine.ts';

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

export async function restore(
  engine: Engine,
  request: RestoreRequest,
  { secrets, signal, report }: WorkOptions,
): Promise<ResultOf<'restore/disk'>> {
  const { store, workers } = engine;
  const { set, point, root, said } = await whatToRestore(engine, request, secrets);
  const { disk, to, overwrite, erase } = request;
  const one = { id: point.id, disks: [root] };
  const holder = `restore of ${point.id}`;
  await using opened = await openPointDisks(store, one, { set, threads: workers, holder });
  const { writtenBytes, format } = await restoreDisk(store, opened.disks[0]!.device, {
    ...{ to, format: said, overwrite, signal, store },
    mayErase: (path) => requireErasable(runProgram, path, erase === undefined ? [] : [erase]),
    onProgress: (progress) => report({ event: 'progress', ...progress }),
  });
  return { point: point.id, disk, to, format: formatName(format), size: root.size, writtenBytes };
}

/** Resolves with the point and its set. Rejects as `restore` would at its beginning. */
export async function checkRestore(engine: Engine, request: RestoreRequest, secrets: SecretSource) {
  const { set, point, said } = await whatToRestore(engine, request, secrets);
  const { to, overwrite } = request;
  await checkTarget(engine.store, { to, format: said, overwrite, store: engine.store });
  return { set, point };
}

async function whatToRestore(
  engine: Engine,
  { point: query, disk, format }: RestoreRequest,
  secrets: SecretSource,
) {
  const said = format === undefined ? undefined : parseImageFormat(format);
  const { set, point } = await openPoint(engine, query, secrets);
  return { set, point, root: requirePointDisk(point, disk), said };
}

/** Throws NOT_FOUND. */
export function requirePointDisk({ id, disks }: PointRecord, disk: string) {
  const root = disks.find(({ name }) => name === disk);
  if (root) return root;
  const names = disks.map(({ name }) => name).join(', ');
  throw new CatalogError('NOT_FOUND', `${id} has no disk "${disk}": it has ${names}`);
}
