import { resolve } from 'node:path/posix';
import type { KeySource } from '../../file-restore/mounting/appliance.ts';
import {
  beginOpenRestore,
  closeOpenRestore,
  listOpenRestores,
  sweepOpenRestores,
} from '../../file-restore/mounting/open-restores.ts';
import { openVolumes } from '../../file-restore/mounting/opened-volumes.ts';
import type { OpenFilesSummary, OpenedVolumes } from '../../operations/nouns/files.ts';
import { systemClock } from '../../sys/base/clock.ts';
import { isSuperuser } from '../../sys/process/run.ts';
import { realFileSystem } from '../../sys/files/real-file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { checkDisk, noticeTo, summariesOf } from './files.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { serveDisks } from './served-disks.ts';

/*
 * Volumes of a recovery point as directories that the whole host sees, for as long as a process has them open. They
 * belong to the host and not to a store: their records are in a directory that a restart of the host empties.
 */

export interface OpenFilesRequest {
  /** The recovery point, or running session. */
  readonly what: string;
  /** The disk; undefined: all of the machine's. */
  readonly disk: string | undefined;
  /** An empty or missing directory; undefined: one of its own. */
  readonly at: string | undefined;
  readonly isolated: boolean;
  readonly keys: KeySource;
}

export interface RunningFiles extends AsyncDisposable {
  readonly opened: OpenedVolumes;
  /** Mount points by volume. */
  readonly roots: ReadonlyMap<string, string>;
  /** Rejects when the disks can no longer be served. */
  readonly ended: Promise<void>;
}

const STATE = '/run/holdfast/files';

/** Open until disposed. Removes what dead processes left. */
export async function openFiles(
  engine: Engine,
  request: OpenFilesRequest,
  { secrets, signal, report }: WorkOptions,
): Promise<RunningFiles> {
  if (!isSuperuser()) throw new SystemError('DENIED', 'only root may mount: run this as root');
  const { store } = engine;
  await sweepOpenRestores(store.files, STATE);
  await using stack = new AsyncDisposableStack();
  const at = request.at === undefined ? undefined : resolve(request.at);
  const restore = stack.use(await beginOpenRestore(store, STATE, { point: request.what, at }));
  const { disks: directory, work } = restore;
  const served = stack.use(
    await serveDisks(engine, request.what, { directory, secrets, onNotice: noticeTo(report) }),
  );
  checkDisk(served, request.disk);
  await restore.note({ point: served.id });
  const opened = stack.use(
    await openVolumes(served.disks, {
      ...{ directory: restore.at, work, signal, clock: store.clock, noFollow: false },
      ...{ isolated: request.isolated, keys: request.keys, disk: request.disk, wanted: undefined },
      onDirectories: (directories) => restore.note({ directories }),
    }),
  );
  const owned = stack.move();
  return {
    opened: {
      ...{ id: restore.id, point: served.id, at: restore.at },
      disks: served.disks.map(({ disk, path }) => ({ disk, path })),
      volumes: summariesOf(opened),
    },
    roots: new Map(opened.mounted.map(({ volume, path }) => [volume.name, path])),
    ended: served.ended,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function openedFiles(): Promise<OpenFilesSummary[]> {
  const all = await listOpenRestores(realFileSystem(), STATE);
  return all.map(({ record, isRunning }) => {
    const { id, point, opened, at, owner } = record;
    return {
      id,
      point,
      opened,
      at,
      process: owner.pid,
      state: isRunning ? 'open' : 'left',
      volumes: [],
    };
  });
}

/** Closes a restore, or all (undefined), waits until everything is unmounted, and returns the IDs. */
export async function closeFiles(id: string | undefined): Promise<string[]> {
  const world = { files: realFileSystem(), clock: systemClock() };
  const closed = await sweepOpenRestores(world.files, STATE);
  if (id !== undefined && closed.includes(id)) return [id];
  const rest = id === undefined ? (await openedFiles()).map((it) => it.id) : [id];
  for (const one of rest) await closeOpenRestore(world, STATE, one);
  return id === undefined ? [...closed, ...rest] : rest;
}
