import type { Clock } from '../../sys/base/clock.ts';

/** What happened to sessions, as long as the service runs. */
export interface SessionLog {
  note(session: string, message: string): void;
  /** The oldest first. */
  lines(session: string): readonly LogLine[];
}

export interface LogLine {
  readonly time: string;
  readonly message: string;
}

/** Of each; a session that waits for space says so at most now and then. The first ones stay: they say how it began. */
const LINES_MAX = 500;
/** Of those that something happened to last. */
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
