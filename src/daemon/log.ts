import type { Clock } from '../sys/clock.ts';

/** Levels of syslog(3), as systemd reads them from the beginning of a line (sd-daemon(3)). */
const LEVELS = { error: 3, warning: 4, notice: 5, info: 6 } as const;

export type Log = (level: keyof typeof LEVELS, message: string) => void;

/** One line for each message: for the journal, which knows the time itself, or for people. */
export function lineLog(
  clock: Clock,
  { journal, write }: { readonly journal: boolean; readonly write: (line: string) => void },
): Log {
  return (level, message) => {
    // A message with a line break in it must not look like two.
    const line = message.replaceAll(/\s*\n\s*/g, ' | ');
    if (journal) return write(`<${LEVELS[level]}>${line}\n`);
    const time = clock.now().toISOString().slice(0, 19).replace('T', ' ');
    write(`${time} ${level === 'info' || level === 'notice' ? '' : `${level}: `}${line}\n`);
  };
}

/** How a fault of our own is told to whoever mends it. */
export function faultLog(log: Log): (what: string, error: Error) => void {
  return (what, error) =>
    log('error', `internal error in ${what}: ${error.stack ?? error.message}`);
}
