import type { Notice, Progress } from '../../operations/events.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { Followed } from './followed-session.ts';
import { type OnEvent, type SessionEnd, wordsOf } from './session-events.ts';
import { sessionLog } from './session-log.ts';

/*
 * What happened to sessions, how far the work of other processes on them is, and how they ended: kept while the
 * service runs, for those who follow a session or read its log.
 */
export interface SessionRecords {
  /** Records an event and passes it on. */
  readonly onEvent: OnEvent;
  /** Work of another process on a session reports something; undefined: it has failed. */
  told(session: string, event: Progress | Notice | undefined): void;
  of(session: string): Omit<Followed, 'look'>;
}

/** The most sessions that are remembered, the last ones. */
const SESSIONS_MAX = 256;

export function sessionRecords(clock: Clock, next: OnEvent): SessionRecords {
  const log = sessionLog(clock);
  const ends = new Map<string, SessionEnd>();
  const under = new Map<string, Progress>();
  const onEvent: OnEvent = (event) => {
    const { session } = event;
    if (event.kind === 'ended' && event.how) {
      // The process that ended it may have reported that already.
      if (ends.has(session)) return;
      under.delete(session);
      put(ends, session, event.how);
    }
    log.note(session, wordsOf(event));
    next(event);
  };
  return {
    onEvent,
    told(session, event) {
      if (!event) under.delete(session);
      else if (event.event === 'progress') put(under, session, event);
      else onEvent({ kind: 'notice', session, message: event.message });
    },
    of: (session) => ({
      lines: () => log.lines(session),
      progress: () => under.get(session),
      endOf: () => ends.get(session),
    }),
  };
}

function put<T>(into: Map<string, T>, session: string, value: T): void {
  into.delete(session);
  into.set(session, value);
  if (into.size > SESSIONS_MAX) into.delete(into.keys().next().value!);
}
