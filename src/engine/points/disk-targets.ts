import { join } from 'node:path/posix';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { formatName, parseImageFormat } from '../../ingest/source/image-format.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { DiskTarget } from '../../sessions/finish/disk-copies.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { realTarget } from '../../sys/files/real-path.ts';

export type TargetRequest = Pick<RequestOf<'session/finalize'>, 'to' | 'format' | 'disks'>;

/** Where each disk of a machine goes: as requested, the others into the directory. Rejects UNSUPPORTED, NOT_FOUND. */
export async function diskTargets(
  { files }: Store,
  { to, format: said, disks }: TargetRequest,
  { machine, disks: own }: Pick<SessionRecord, 'machine' | 'disks'>,
): Promise<readonly DiskTarget[]> {
  const format = said === undefined ? undefined : parseImageFormat(said);
  const targets: DiskTarget[] = disks.map(({ name: disk, where }) => ({ disk, to: where, format }));
  const others = own.filter(({ name }) => !disks.some((it) => it.name === name));
  if (to === undefined && others.length > 0) {
    const names = others.map(({ name }) => name).join(', ');
    throw new SessionError(
      'UNSUPPORTED',
      `where to? Give --to DIRECTORY, or --disk for each of its disks: ${names}`,
    );
  }
  if (to !== undefined && (await files.stat(to))?.kind !== 'directory') {
    // It may be where a disk is mounted that is away: what is written there would be on another one.
    throw new SystemError('NOT_FOUND', `${to}: there is no such directory`);
  }
  const ending = formatName(format ?? 'raw');
  for (const { name } of others) {
    const file = imageName(machine, name, ending);
    targets.push({ disk: name, to: join(to!, file), format });
  }
  await requireTargets(
    own.map(({ name }) => name),
    targets,
  );
  return targets;
}

/** The name of a disk's file, beside those of other machines. */
export function imageName(machine: string, disk: string, ending: string): string {
  return `${machine}-${disk}.${ending}`;
}

/** Each disk needs a target, and each its own. Rejects UNSUPPORTED. */
async function requireTargets(
  disks: readonly string[],
  targets: readonly DiskTarget[],
): Promise<void> {
  const named = targets.map(({ disk }) => disk);
  const places = await Promise.all(
    targets.map(async ({ to }) => (isNbdUri(to) ? to : realTarget(to))),
  );
  const problem =
    problemWith(
      disks.filter((it) => !named.includes(it)),
      'there is no target for',
    ) ??
    problemWith(
      named.filter((it) => !disks.includes(it)),
      'there is no disk',
    ) ??
    problemWith(named.filter(isRepeated), 'there are two targets for') ??
    problemWith(places.filter(isRepeated), 'two disks would be written to');
  if (problem !== undefined) throw new SessionError('UNSUPPORTED', problem);
}

const isRepeated = (it: string, at: number, all: readonly string[]): boolean =>
  all.indexOf(it) !== at;

function problemWith(found: readonly string[], what: string): string | undefined {
  return found.length === 0 ? undefined : `${what} ${found.join(', ')}: nothing was written`;
}
