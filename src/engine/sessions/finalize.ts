import { runProgram } from '../../host/base/programs.ts';
import { formatName } from '../../ingest/source/image-format.ts';
import type { IsSecret } from '../../ingest/source/image-source.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { FinalizedSession } from '../../operations/nouns/finalize.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { finalizeSession, type Remaining } from '../../sessions/finish/finalize-session.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { type Engine, openSet, type WorkOptions } from '../base/engine.ts';
import { diskTargets } from '../points/disk-targets.ts';
import { requireErasable } from '../points/erasure.ts';
import { forgetSession, requireOwnSession } from './orders.ts';

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
  const targets = await diskTargets(store, request, record);
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
