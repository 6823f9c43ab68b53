import { join } from 'node:path/posix';
import { runProgram } from '../../host/base/programs.ts';
import { formatName, parseImageFormat } from '../../ingest/source/image-format.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { FinalizedSession } from '../../operations/nouns/session.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { type DiskTarget, requireTargets } from '../../sessions/finish/disk-copies.ts';
import { finalizeSession, type Remaining } from '../../sessions/finish/finalize-session.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type Engine, openSet, type WorkOptions } from '../base/engine.ts';
import { requireErasable } from '../points/erasure.ts';
import { forgetSession, requireOwnSession } from './orders.ts';

/* A session's disks, written to permanent storage: targets named by people, and what they are told. */

type FinalizeRequest = RequestOf<'session/finalize'>;

export async function finalize(
  engine: Engine,
  request: FinalizeRequest,
  { secrets, signal, report, isSecret }: WorkOptions & { readonly isSecret: IsSecret },
): Promise<FinalizedSession> {
  const { store, workers, memory } = engine;
  const { session: id, overwrite, whileRunning, erase } = request;
  const { record } = await sessionStatus(store, id);
  await requireOwnSession(memory, record);
  const targets = await targetsOf(engine, request, record);
  const set = await openSet(engine, record.set, secrets);
  const tell = (message: string): void => report({ event: 'notice', message });
  const done = await finalizeSession(store, id, {
    allow: (held) => requireOwnSession(memory, held),
    mayErase: (path) => requireErasable(runProgram, path, erase),
    onProgress: (disk, { phase, ...place }) =>
      report({ event: 'progress', phase: `${phase} ${disk}`, ...place }),
    onCopied: (remaining) => tell(stopNow(id, remaining)),
    ...{ set, targets, overwrite, whileRunning, workers, isSecret, signal },
  });
  await forgetSession(memory, id, { tell });
  const disks = done.map((it) => ({ ...it, format: formatName(it.format) }));
  return { session: id, disks };
}

function stopNow(id: string, { bytes, seconds }: Remaining): string {
  return (
    `the recovery point is copied. Now shut the guest down, then "session stop ${id}": at most ${formatSize(bytes)} ` +
    `are left to copy while it is off, about ${seconds} seconds`
  );
}

/** Targets as they were asked for, and in the directory for all other disks. Rejects UNSUPPORTED, NOT_FOUND. */
async function targetsOf(
  { store }: Engine,
  { session, to, format: said, disks }: FinalizeRequest,
  { machine, disks: own }: SessionRecord,
): Promise<readonly DiskTarget[]> {
  const format = said === undefined ? undefined : parseImageFormat(said);
  const targets: DiskTarget[] = disks.map(({ name: disk, where }) => ({ disk, to: where, format }));
  const others = own.filter(({ name }) => !disks.some((it) => it.name === name));
  if (to === undefined && others.length > 0) {
    const names = others.map(({ name }) => name).join(', ');
    throw new SessionError(
      'UNSUPPORTED',
      `where to? Give --to DIRECTORY, or --disk for each disk of session ${session}: ${names}`,
    );
  }
  if (to !== undefined && (await store.files.stat(to))?.kind !== 'directory') {
    // It may be where a disk is mounted that is away: what is written there would be on another one.
    throw new SystemError('NOT_FOUND', `${to}: there is no such directory`);
  }
  const ending = formatName(format ?? 'raw');
  for (const { name } of others) {
    targets.push({ disk: name, to: join(to!, `${machine}-${name}.${ending}`), format });
  }
  await requireTargets(
    own.map(({ name }) => name),
    targets,
  );
  return targets;
}

/** Rejects as `finalize` would at its beginning, without the key. */
export async function checkFinalize(engine: Engine, request: FinalizeRequest): Promise<void> {
  const { record } = await sessionStatus(engine.store, request.session);
  await requireOwnSession(engine.memory, record);
  await targetsOf(engine, request, record);
}
