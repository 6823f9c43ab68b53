import type { Progress, Report, SessionStep } from '../../operations/events.ts';
import type { ShownSession } from '../../operations/nouns/session.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { SessionEnd } from './session-events.ts';
import type { LogLine } from './session-log.ts';

/* A session as a script follows it: each line of its log, each change of its state, and how far its disks are. */

export interface Followed {
  /** Rejects NOT_FOUND once it is gone. */
  show(): Promise<ShownSession>;
  lines(): readonly LogLine[];
  /** Work of another process. */
  progress(): Progress | undefined;
  endOf(): SessionEnd | undefined;
}

export interface FollowOptions {
  readonly clock: Clock;
  readonly report: Report;
  /** Aborted: the caller has gone. */
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 500;
const END_LOOKS = 10;

/** Resolves once the session is gone; `unknown`: in a way that the service did not see. Rejects NOT_FOUND at once. */
export async function followSession(
  session: string,
  { show, lines, progress, endOf }: Followed,
  { clock, report, signal }: FollowOptions,
): Promise<SessionEnd | 'unknown'> {
  let state: Pick<SessionStep, 'state' | 'power' | 'waits'> | undefined;
  let said = 0;
  let last: Progress | undefined;
  function tell(time: string, message: string | null): void {
    report({ event: 'step', session, time, ...state!, message });
  }
  function tellLines(): void {
    const all = lines();
    for (const { time, message } of all.slice(said)) tell(time, message);
    said = all.length;
  }
  /** The process that removed it may not have reported yet that it has ended. */
  async function end(): Promise<SessionEnd | 'unknown'> {
    for (let looks = 0; looks < END_LOOKS && endOf() === undefined; looks++) {
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
    tellLines();
    return endOf() ?? 'unknown';
  }
  for (;;) {
    const shown = await shownOr(show, state !== undefined);
    if (!shown) return end();
    const now = stateOf(shown);
    const isNew =
      now.state !== state?.state || now.power !== state.power || now.waits !== state.waits;
    state = now;
    tellLines();
    if (isNew) tell(clock.now().toISOString(), null);
    const work = progress();
    if (work && work !== last) report(work);
    last = work;
    for (const it of movesOf(shown)) report(it);
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

/** Undefined: it was there, and is gone. */
async function shownOr(
  show: Followed['show'],
  wasThere: boolean,
): Promise<ShownSession | undefined> {
  try {
    return await show();
  } catch (cause) {
    if (wasThere && cause instanceof SessionError && cause.code === 'NOT_FOUND') return undefined;
    throw cause;
  }
}

function stateOf({ state, waits, placed }: ShownSession) {
  return { state, power: placed?.power ?? null, waits };
}

/** The copies of disks that move to a hypervisor. */
function movesOf({ placed }: ShownSession): Progress[] {
  return (placed?.disks ?? []).flatMap(({ disk, done, total }): Progress[] =>
    done === null || total === null
      ? []
      : [{ event: 'progress', phase: `move ${disk}`, position: done, total }],
  );
}
