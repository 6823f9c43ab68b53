import type { ResultOf } from '../../operations/operations.ts';
import type { Clock } from '../../sys/base/clock.ts';

/** Events of sessions, kept while the service runs. */
export interface SessionLog {
  note(session: string, message: string): void;
  /** The oldest first. */
  lines(session: string): readonly LogLine[];
}

export type LogLine = ResultOf<'session/log'>['lines'][number];

/**
 * Limit per session; a session that waits for space reports that only now and then. The first lines stay: they show
 * how it began.
 */
const LINES_MAX = 500;
/** The most sessions kept, those with the latest events. */
const SESSIONS_MAX = 256;

export function sessionLog(clock: Clock): SessionLog {
  const logs = new Map<string, LogLine[]>();
  return {
    note(session, message) {
      const lines = logs.get(session) ?? [];
      if (lines.length < LINES_MAX) lines.push({ time: clock.now().toISOString(), message });
      logs.delete(session);
      logs.set(session, lines);
      if (logs.size > SESSIONS_MAX) logs.delete(logs.keys().next().value!);
    },
    lines: (session) => logs.get(session) ?? [],
  };
}
