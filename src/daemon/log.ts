import type { Clock } from '../sys/base/clock.ts';
import type { Journal } from '../sys/systemd/journal.ts';

/** Levels of syslog(3), as systemd reads them from the beginning of a line (sd-daemon(3)). */
const LEVELS = { error: 3, warning: 4, notice: 5, info: 6 } as const;

export type Log = (level: keyof typeof LEVELS, message: string, about?: LogSubject) => void;

/** The subject of a message: fields of the journal, `journalctl HOLDFAST_SESSION=web1-3f9c2a`. */
export type LogSubject = { readonly session: string } | { readonly job: string };

export interface LogOptions {
  /** Whether standard error goes to the journal. */
  readonly journal: boolean;
  readonly write: (line: string) => void;
  /** The journal itself: messages with a subject go there, with fields. */
  readonly fields?: Journal | undefined;
  /** `SyslogIdentifier=` of the unit. */
  readonly identifier?: string;
}

/** One line for each message: for the journal, which adds the time itself, or for people. */
export function lineLog(clock: Clock, { journal, write, fields, identifier }: LogOptions): Log {
  return (level, message, about) => {
    // A message with a line break in it must not look like two.
    const line = message.replaceAll(/\s*\n\s*/g, ' | ');
    if (about && fields?.send(entryOf(level, line, { about, identifier }))) return;
    if (journal) return write(`<${LEVELS[level]}>${line}\n`);
    const time = clock.now().toISOString().slice(0, 19).replace('T', ' ');
    write(`${time} ${level === 'info' || level === 'notice' ? '' : `${level}: `}${line}\n`);
  };
}

function entryOf(
  level: keyof typeof LEVELS,
  message: string,
  { about, identifier }: { readonly about: LogSubject; readonly identifier: string | undefined },
): Readonly<Record<string, string>> {
  return {
    MESSAGE: message,
    PRIORITY: String(LEVELS[level]),
    ...(identifier !== undefined && { SYSLOG_IDENTIFIER: identifier }),
    ...('session' in about ? { HOLDFAST_SESSION: about.session } : { HOLDFAST_JOB: about.job }),
  };
}

/** Logs a bug of our own for the people who fix it. */
export function faultLog(log: Log): (what: string, error: Error) => void {
  return (what, error) =>
    log('error', `internal error in ${what}: ${error.stack ?? error.message}`);
}
