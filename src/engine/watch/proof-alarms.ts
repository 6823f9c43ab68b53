import type { AlarmBook } from '../../alarms/alarm-book.ts';
import { alarmId, type Condition } from '../../alarms/alarm-state.ts';
import type { JobRecord } from '../../formats/store/service/job.ts';
import { hasEnded } from '../../jobs/job-state.ts';
import type { ResultOf } from '../../operations/operations.ts';

/* Alarms about proofs of recovery: one for each machine whose last proof failed, and for proofs that do not come. */

/** A later proof of the same machine that succeeds ends the alarm. */
export async function proofEnded(
  alarms: AlarmBook,
  { set, machine, point, proof }: ResultOf<'verify/point'>,
): Promise<void> {
  const { verdict, state, reason, started } = proof;
  const what = { kind: 'proof-failed', about: `${set}/${machine}`, level: 'critical' } as const;
  if (verdict === 'proven') return alarms.clear(alarmId(what));
  const message =
    `recovery point ${point} of machine ${machine} (set ${set}) was booted and does not work: ${state}: ` +
    `${reason}. "holdfast verify show ${point}" shows its checks, screen and serial line; try an older recovery ` +
    'point ("holdfast verify POINT") to find the last one that works';
  // A point that fails again is news as well: a person may have tried to mend it.
  await alarms.raise({ ...what, message, occurrence: `${point} ${started}` });
}

/** Longer than any recovery that a person waits for. */
const LATE_MS = 24 * 60 * 60_000;

/** Proofs that were ordered, by a schedule or after a backup, and have not been made for a day. */
export function lateProofs(jobs: readonly JobRecord[], now: Date): Condition[] {
  return jobs.flatMap((job): Condition[] => {
    const { id, kind, created, request, reason } = job;
    if (kind !== 'verify' || hasEnded(job)) return [];
    if (now.getTime() - Date.parse(created) < LATE_MS) return [];
    const why = reason ?? 'recovery sessions come first, and have run for that long';
    const message =
      `proofs of recovery points of set ${String(request['set'])} were due at ${created} and were not made: ${why}. ` +
      `"holdfast job log ${id}" shows what they wait for`;
    return [{ kind: 'proof-late', about: job.schedule ?? id, level: 'warning', message }];
  });
}
