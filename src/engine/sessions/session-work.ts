import type { Notice, Progress } from '../../operations/events.ts';
import type { SessionEnd } from './session-events.ts';

/*
 * What other processes do with sessions, and how sessions ended: for those who follow a session, and for its log. Kept
 * while the service runs.
 */
export interface SessionWork {
  /** Work on it reports something; undefined: it has failed. */
  told(session: string, event: Progress | Notice | undefined): void;
  /** It is gone. */
  ended(session: string, how: SessionEnd): void;
  /** The last progress; undefined: nothing is under way. */
  progress(session: string): Progress | undefined;
  endOf(session: string): SessionEnd | undefined;
}

/** The most sessions that are remembered, the last ones. */
const SESSIONS_MAX = 256;

export function sessionWork(onNotice: (session: string, message: string) => void): SessionWork {
  const ends = new Map<string, SessionEnd>();
  const under = new Map<string, Progress>();
  return {
    told(session, event) {
      if (!event) under.delete(session);
      else if (event.event === 'notice') onNotice(session, event.message);
      else put(under, session, event);
    },
    ended(session, how) {
      under.delete(session);
      put(ends, session, how);
    },
    progress: (session) => under.get(session),
    endOf: (session) => ends.get(session),
  };
}

function put<T>(into: Map<string, T>, session: string, value: T): void {
  into.delete(session);
  into.set(session, value);
  if (into.size > SESSIONS_MAX) into.delete(into.keys().next().value!);
}
