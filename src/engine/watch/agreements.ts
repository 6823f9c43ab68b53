import type { Clock } from '../../sys/base/clock.ts';

/** The second person must agree within this time, or the first must agree again. */
const AGREE_WITHIN_MS = 60 * 60_000;

/** Notes that a user agrees to something; returns whether another user has, within the last hour. */
export function agreements(clock: Clock): (what: string, uid: number) => boolean {
  const first = new Map<string, { readonly uid: number; readonly atMs: number }>();
  return (what, uid) => {
    const before = first.get(what);
    const nowMs = clock.sinceBootMs();
    const isAgreed =
      before !== undefined && before.uid !== uid && nowMs - before.atMs <= AGREE_WITHIN_MS;
    if (isAgreed) first.delete(what);
    else first.set(what, { uid, atMs: nowMs });
    return isAgreed;
  };
}
