import { writeSync } from 'node:fs';

/** What systemd passed to this process (sd_listen_fds(3)). Descriptors change their order; names do not. */
export interface Passed {
  readonly pid: number;
  readonly LISTEN_PID: string | undefined;
  readonly LISTEN_FDNAMES: string | undefined;
}

const FIRST = 3;

/** Undefined: none of that name was passed to this process. */
export function descriptorNamed(
  name: string,
  { pid, LISTEN_PID: to, LISTEN_FDNAMES: names }: Passed,
): number | undefined {
  if (names === undefined || Number(to) !== pid) return undefined;
  const at = names.split(':').indexOf(name);
  return at < 0 ? undefined : FIRST + at;
}

/** Of a socket of messages: all or nothing. Whoever listens there may be gone: that is no failure of ours. */
export function writeDescriptor(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // It was told as well as could be.
  }
}
