import { readFileSync } from 'node:fs';

/**
 * Identifies a process, so that a later one with the same ID is not mistaken for it, even after a restart of the
 * host.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between the host's start and the process's own. */
  readonly started: number;
  /** Identifies the host's start. */
  readonly boot: string;
}

/** proc(5): `starttime`, counted after the name, which may hold any characters. */
const STARTED_FIELD = 22;
const FIELDS_BEFORE = 3;

/** `boot` is the host's start (`FileSystem.bootId`) here and below. */
export function thisProcess(boot: string): ProcessIdentity {
  return { pid: process.pid, started: startedOf(process.pid) ?? 0, boot };
}

export function isAlive(identity: ProcessIdentity, boot: string): boolean {
  return identity.boot === boot && startedOf(identity.pid) === identity.started;
}

/** Does nothing if the process is gone. */
export function sendSignal(identity: ProcessIdentity, signal: NodeJS.Signals, boot: string): void {
  try {
    if (isAlive(identity, boot)) process.kill(identity.pid, signal);
  } catch {
    // It has just ended.
  }
}

/** Undefined: there is no such process, or it has ended and only waits for its parent. */
function startedOf(pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : Number(fields[STARTED_FIELD - FIELDS_BEFORE]);
}
