import { GranularError } from '../../file-restore/base/file-restore-error.ts';
import type { OpenedVolumes } from '../../file-restore/mounting/opened-volumes.ts';
import { findInside } from '../../file-restore/base/paths.ts';
import type { Volume } from '../../file-restore/volumes/volumes.ts';

export interface OpenVolume {
  readonly volume: Volume;
  readonly root: string;
}

/**
 * The only open volume that has all of `paths`. An unreadable volume does not count; the messages name the volumes
 * and those that could not be read. Rejects NOT_FOUND, AMBIGUOUS, UNREADABLE, UNSUPPORTED, BAD_PATH.
 */
export async function volumeOfPaths(
  { mounted, failed }: Pick<OpenedVolumes, 'mounted' | 'failed'>,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<OpenVolume> {
  const all = mounted.map(({ volume, path: root }) => ({ volume, root }));
  const closed = failed.map(({ volume, reason }) => `${volume.name}: ${reason}`);
  if (all.length === 0) {
    const why = closed.join('; ') || 'the disk is empty';
    throw new GranularError('UNSUPPORTED', `no volume can be opened: ${why}`);
  }
  if (all.length === 1) return all[0]!;
  const having: OpenVolume[] = [];
  const unread: string[] = [];
  for (const it of all) {
    const found = await look(it.root, paths, signal);
    if (found === true) having.push(it);
    else if (found !== false) unread.push(`${it.volume.name}: ${found.message}`);
  }
  if (having.length === 1) return having[0]!;
  const names = (list: readonly OpenVolume[]): string =>
    list.map(({ volume }) => volume.name).join(', ');
  const what = paths.join(', ');
  if (having.length > 1) {
    throw new GranularError('AMBIGUOUS', `${names(having)} have ${what}: choose with --volume`);
  }
  const none = `none of the volumes ${names(all)} has ${what}`;
  if (unread.length === 0) throw new GranularError('NOT_FOUND', none);
  throw new GranularError(
    'UNREADABLE',
    `${none}, as far as they can be read: ${unread.join('; ')}`,
  );
}

/** Whether it has them all, or why that cannot be determined. */
async function look(
  root: string,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<boolean | GranularError> {
  for (const path of paths) {
    try {
      await findInside(root, path, { follow: false, signal });
    } catch (cause) {
      if (!(cause instanceof GranularError)) throw cause;
      if (cause.code === 'NOT_FOUND') return false;
      if (cause.code === 'UNREADABLE' || cause.code === 'TIMEOUT') return cause;
      throw cause;
    }
  }
  return true;
}
