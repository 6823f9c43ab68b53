import type { ScrubPass, ScrubRecord } from '../../formats/store/service/scrub.ts';

/* How much of a store a scrub has read, and has to have read by now. Pure. */

const DAY_MS = 86_400_000;

/**
 * The share of all bytes that the pass under way, or a new one, should have read when this run ends: so much that the
 * pass ends in time if the next run is as far away as the last one. 0: nothing is due.
 */
export function dueShare(
  { pass, lastRun }: Pick<ScrubRecord, 'pass' | 'lastRun'>,
  { now, period }: { readonly now: Date; readonly period: number | undefined },
): number {
  if (period === undefined) return 1;
  const periodMs = period * 1000;
  // A clock that was set back must not stop the scrub.
  const since = (time: string | undefined): number | undefined => {
    const passedMs = time === undefined ? -1 : now.getTime() - Date.parse(time);
    return passedMs < 0 ? undefined : passedMs;
  };
  const stepMs = Math.min(periodMs, since(lastRun) ?? DAY_MS);
  const passedMs = since(pass?.started);
  const step = stepMs / periodMs;
  if (!pass) return step;
  if (pass.ended === undefined) return Math.min(1, (passedMs ?? 0) / periodMs + step);
  return passedMs === undefined || passedMs >= periodMs ? step : 0;
}

export function newPass(now: Date): ScrubPass {
  return {
    ...{ started: now.toISOString(), ended: undefined, next: 0 },
    ...{ packs: 0, bytes: 0, opened: 0, summed: 0, problems: 0 },
  };
}

/** The pass once it has read one more pack. */
export function advanced(
  pass: ScrubPass,
  {
    pack,
    frames,
    bytes,
  }: { readonly pack: number; readonly frames: number; readonly bytes: number },
  isOpened: boolean,
): ScrubPass {
  return {
    ...pass,
    next: pack + 1,
    packs: pass.packs + 1,
    bytes: pass.bytes + bytes,
    opened: pass.opened + (isOpened ? frames : 0),
    summed: pass.summed + (isOpened ? 0 : frames),
  };
}
