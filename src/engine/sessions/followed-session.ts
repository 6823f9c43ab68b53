import type { Progress, Report, SessionStep } from '../../operations/events.ts';
import type { PlacedMachine } from '../../operations/nouns/placed.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { SessionEnd } from './session-events.ts';
import type { LogLine } from './session-log.ts';

/* A session as a script follows it: each line of its log, each change of its state, and how far its disks are. */

/** As much of a session as is reported: it is looked at often. */
export interface FollowedState extends Pick<SessionStep, 'state' | 'power' | 'waits'> {
  /** The disks of its machine on a hypervisor. */
  readonly disks: PlacedMachine['disks'];
}

export interface Followed {
  /** Rejects NOT_FOUND once it is gone. */
  look(): Promise<FollowedState>;
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
  { look, lines, progress, endOf }: Followed,
  { clock, report, signal }: FollowOptions,
): Promise<SessionEnd | 'unknown'> {
  let known: Omit<FollowedState, 'disks'> | undefined;
  let said = 0;
  let last: Progress | undefined;
  function tell(time: string, message: string | null): void {
    report({ event: 'step', session, time, ...known!, message });
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
    const found = await foundOr(look, known !== undefined);
    if (!found) return end();
    const { disks, ...now } = found;
    const isNew =
      now.state !== known?.state || now.power !== known.power || now.waits !== known.waits;
    known = now;
    tellLines();
    if (isNew) tell(clock.now().toISOString(), null);
    const work = progress();
    if (work && work !== last) report(work);
    last = work;
    for (const it of movesOf(disks)) report(it);
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

/** Undefined: it was there, and is gone. */
async function foundOr(
  look: Followed['look'],
  wasThere: boolean,
): Promise<FollowedState | undefined> {
  try {
    return await look();
  } catch (cause) {
    if (wasThere && cause instanceof SessionError && cause.code === 'NOT_FOUND') return undefined;
    throw cause;
  }
}

/** The copies of disks that move to a hypervisor. */
function movesOf(disks: FollowedState['disks']): Progress[] {
  return disks.flatMap(({ disk, done, total }): Progress[] =>
    done === null || total === null
      ? []
      : [{ event: 'progress', phase: `move ${disk}`, position: done, total }],
  );
}
