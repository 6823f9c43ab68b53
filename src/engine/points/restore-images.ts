import { join } from 'node:path/posix';
import { openPointDisks } from '../../catalog/point-disks.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import {
  formatName,
  type ImageFormat,
  parseImageFormat,
} from '../../ingest/source/image-format.ts';
import { IngestError } from '../../ingest/source/ingest-error.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { diskCopies } from '../../sessions/finish/disk-copies.ts';
import { imageFiles } from '../../sessions/guest/image-files.ts';
import { machineOf } from '../../sessions/guest/read-machine.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { type Engine, openPoint, type WorkOptions } from '../base/engine.ts';
import { diskTargets, imageName } from './disk-targets.ts';

/* A whole machine, written to a directory: its disks, and what defines it to a hypervisor. */

export async function restoreImages(
  engine: Engine,
  request: RequestOf<'restore/images'>,
  { secrets, signal, report, isSecret }: WorkOptions & { readonly isSecret: IsSecret },
): Promise<ResultOf<'restore/images'>> {
  const { store, workers } = engine;
  const { to, format: said, overwrite } = request;
  const format = said === undefined ? 'raw' : parseImageFormat(said);
  const { set, point } = await openPoint(engine, request.point, secrets);
  const targets = await diskTargets(store, { to, format: said, disks: [] }, point);
  const machine = await machineOf(store, { set, point }, (what) =>
    report({ event: 'notice', message: `a part of the machine is not restored: ${what}` }),
  );
  const files = imageFiles(subjectOf(point), machine, imagesIn(to, point, format));
  const missing = await missingFiles(store.files, to, { files, overwrite });
  await using stack = new AsyncDisposableStack();
  const holder = `restore of ${point.id}`;
  const { disks } = stack.use(
    await openPointDisks(store, point, { set, threads: workers, holder }),
  );
  const copies = stack.use(
    diskCopies(store, {
      ...{ targets, overwrite, isSecret, signal },
      mayErase: refuseDevice,
      onProgress: (disk, { phase, ...place }) =>
        report({ event: 'progress', phase: `${phase} ${disk}`, ...place }),
    }),
  );
  const done = await copies.complete(disks);
  await copies.publish();
  for (const { name, contents } of missing) await putDurably(store.files, join(to, name), contents);
  return {
    ...{ point: point.id, machine: point.machine },
    disks: done.map((it) => ({ ...it, format: formatName(it.format) })),
    files: files.map(({ name }) => join(to, name)),
  };
}

/** A name in the directory may be a link: images are files. */
async function refuseDevice(path: string): Promise<void> {
  const what = `${path} is a device, to which a name in the directory leads: nothing was written`;
  const advice = 'remove that name, or write the disk there with "holdfast restore disk"';
  throw new IngestError('REFUSED', `${what}; ${advice}`);
}

/** Its UUID is that of no session: it stays the same however often it is restored. */
function subjectOf({ id, machine, disks }: PointRecord) {
  return { id, point: id, machine, disks };
}

function imagesIn(directory: string, { machine }: PointRecord, format: ImageFormat) {
  const of = (disk: string) => ({ name: imageName(machine, disk, formatName(format)), format });
  return { directory, of };
}

type Files = ReturnType<typeof imageFiles>;

/** Those that are not there yet, or are replaced. Rejects EXISTS for other contents. */
async function missingFiles(
  own: FileSystem,
  to: string,
  { files, overwrite }: { readonly files: Files; readonly overwrite: boolean },
): Promise<Files> {
  const missing: Files[number][] = [];
  for (const file of files) {
    const path = join(to, file.name);
    const status = await own.stat(path);
    if (status && status.kind !== 'file') {
      throw new IngestError('REFUSED', `${path} is not a regular file: it is not replaced`);
    }
    const isThere = status?.size === file.contents.length;
    const found = isThere ? await own.readFile(path, file.contents.length) : undefined;
    if (found && Buffer.compare(found, file.contents) === 0) continue;
    if (status && !overwrite) {
      throw new IngestError('EXISTS', `${path} exists: remove it, or give --overwrite`);
    }
    missing.push(file);
  }
  return missing;
}
