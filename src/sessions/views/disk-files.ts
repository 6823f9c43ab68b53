import { join } from 'node:path/posix';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { DiskFiles } from '../../file-restore/volumes/disk-files.ts';
import { diskFileName, partName, SESSIONS_PATH, SETS_PATH } from './store-listing.ts';

/** The disks of a recovery point in a mount of the store. */
export function diskFilesOfPoint(
  mounted: string,
  { set, machine, id, disks }: PointRecord,
): DiskFiles[] {
  return diskFilesIn(join(mounted, SETS_PATH, set, machine, id), disks);
}

/** The same for a running session. */
export function diskFilesOfSession(mounted: string, { id, disks }: SessionRecord): DiskFiles[] {
  return diskFilesIn(join(mounted, SESSIONS_PATH, id), disks);
}

function diskFilesIn(directory: string, disks: readonly { readonly name: string }[]): DiskFiles[] {
  return disks.map(({ name }) => ({
    disk: name,
    path: join(directory, diskFileName(name)),
    partition: (number) => join(directory, partName(name, number)),
  }));
}
