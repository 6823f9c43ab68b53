import { type Entry, findFiles, listDirectory } from '../../file-restore/browse/browse.ts';
import { archive, copyOut, readOut } from '../../file-restore/browse/copy-out.ts';
import { GranularError } from '../../file-restore/base/file-restore-error.ts';
import type { KeySource } from '../../file-restore/mounting/appliance.ts';
import {
  lookForVolumes,
  makeDirectories,
  type OpenedVolumes,
  openVolumes,
} from '../../file-restore/mounting/opened-volumes.ts';
import type { Volume } from '../../file-restore/volumes/volumes.ts';
import type { FileEntry, Progress, Report } from '../../operations/events.ts';
import type { CopiedFiles, VolumeSummary } from '../../operations/nouns/files.ts';
import { enterPrivateMounts } from '../../sys/process/mount-namespace.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { type ServedDisks, serveDisks } from './served-disks.ts';
import { volumeOfPaths } from './volume-of-paths.ts';

/*
 * Files out of a recovery point at once. The disks are mounted where only this process and its programs see them, so
 * that nothing stays mounted in any case: one such piece of work per process.
 */

export interface FilesRequest {
  /** The recovery point, or running session. */
  readonly what: string;
  readonly disk: string;
  /** The volume's name; undefined: the one that has the path. */
  readonly volume: string | undefined;
  /** Whether guests' file systems are read only in a VM. */
  readonly isolated: boolean;
  readonly keys: KeySource;
}

/** Volumes of one disk, mounted for this process only. */
export interface VisitedDisk extends AsyncDisposable {
  /** The entries of a directory; ends with an error if some could not be read. */
  list(path: string): AsyncIterable<FileEntry>;
  find(path: string, name: string | undefined): AsyncIterable<FileEntry>;
  /** See `copyOut`; `to` is absolute. */
  copy(paths: readonly string[], to: string, overwrite: boolean): Promise<CopiedFiles>;
  /** Streams one archive, or one file unchanged. */
  stream(
    paths: readonly string[],
    format: 'tar' | 'zip' | 'plain',
  ): Promise<AsyncIterable<Uint8Array>>;
}

/** A directory that can be created on every Linux; no other process sees its contents. */
const PLACE = '/run/holdfast/visit';
const DISKS = `${PLACE}/disks`;
const VOLUMES = `${PLACE}/volumes`;
/** The working directory for reading them. */
const WORK = `${PLACE}/work`;

export async function visitDisk(
  engine: Engine,
  request: FilesRequest,
  options: WorkOptions,
): Promise<VisitedDisk> {
  await using stack = new AsyncDisposableStack();
  const { served, opening } = await serveHere(engine, request, { ...options, stack });
  const opened = stack.use(
    await openVolumes(served.disks, {
      ...opening,
      ...{ directory: VOLUMES, clock: engine.store.clock, noFollow: true },
    }),
  );
  const owned = stack.move();
  return {
    ...visited(opened, options),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The volumes of one disk, as far as they can be seen without opening them. */
export async function volumesOf(
  engine: Engine,
  request: FilesRequest,
  options: WorkOptions,
): Promise<VolumeSummary[]> {
  await using stack = new AsyncDisposableStack();
  const { served, opening } = await serveHere(engine, request, { ...options, stack });
  const found = await lookForVolumes(served.disks, opening);
  return found.map(({ volume, closed }) => summaryOf(volume, closed));
}

async function serveHere(
  engine: Engine,
  { what, disk, volume, isolated, keys }: FilesRequest,
  { secrets, signal, report, stack }: WorkOptions & { readonly stack: AsyncDisposableStack },
) {
  await enterPrivateMounts(PLACE);
  await makeDirectories([DISKS, VOLUMES, WORK], signal);
  const place = { directory: DISKS, secrets, onNotice: noticeTo(report) };
  const served = stack.use(await serveDisks(engine, what, place));
  checkDisk(served, disk);
  return { served, opening: { work: WORK, signal, isolated, keys, disk, wanted: volume } };
}

/** Throws NOT_FOUND if it is not one of its disks. */
export function checkDisk({ id, disks }: ServedDisks, disk: string | undefined): void {
  const names = disks.map((it) => it.disk);
  if (disk === undefined || names.includes(disk)) return;
  throw new GranularError('NOT_FOUND', `${id} has no disk ${disk}: it has ${names.join(', ')}`);
}

export function noticeTo(report: Report): (message: string) => void {
  return (message) => report({ event: 'notice', message });
}

function visited(
  opened: OpenedVolumes,
  { signal, report }: Pick<WorkOptions, 'signal' | 'report'>,
): Omit<VisitedDisk, typeof Symbol.asyncDispose> {
  return {
    async *list(path) {
      const { volume, root } = await volumeOfPaths(opened, [path], signal);
      yield* summaries(volume, listDirectory(root, path, { signal }));
    },
    async *find(path, name) {
      const { volume, root } = await volumeOfPaths(opened, [path], signal);
      yield* summaries(volume, findFiles(root, path, { name, signal }));
    },
    async copy(paths, to, overwrite) {
      const { volume, root } = await volumeOfPaths(opened, paths, signal);
      const done = await copyOut(root, paths, to, {
        ...{ signal, overwrite },
        // While rsync still scans, the total is what it has found so far.
        onProgress: ({ position, total }) =>
          report(progressOf(position, Math.max(total, position + 1))),
      });
      report(progressOf(1, 1));
      return { volume: volume.name, to: done.to, lost: done.lost };
    },
    async stream(paths, format) {
      const { root } = await volumeOfPaths(opened, paths, signal);
      if (format !== 'plain') return archive(root, paths, { format, signal });
      if (paths.length === 1) return readOut(root, paths[0]!, { signal });
      throw new GranularError('BAD_PATH', 'several files need an archive: a tar or a zip');
    },
  };
}

function progressOf(position: number, total: number): Progress {
  return { event: 'progress', phase: 'copy', position, total };
}

/** The requested volumes: open ones, and others with the reason. */
export function summariesOf({ mounted, failed }: OpenedVolumes): VolumeSummary[] {
  const all: readonly VolumeSummary[] = [
    ...mounted.map(({ volume }) => summaryOf(volume, undefined)),
    ...failed.map(({ volume, reason }) => summaryOf(volume, reason)),
  ];
  return all.toSorted((a, b) => (a.volume < b.volume ? -1 : 1));
}

function summaryOf(volume: Volume, reason: string | undefined): VolumeSummary {
  const { name, disk, kind, found, label, size } = volume;
  return {
    ...{ volume: name, disk, kind, found },
    ...{ label: label ?? null, size: size ?? null, closed: reason ?? null },
  };
}

async function* summaries(
  volume: Volume,
  entries: AsyncIterable<Entry>,
): AsyncGenerator<FileEntry> {
  for await (const { modified, target, ...entry } of entries) {
    yield {
      event: 'entry',
      volume: volume.name,
      ...entry,
      modified: new Date(modified).toISOString(),
      ...(target !== undefined && { target }),
    };
  }
}
