import type { ShownFinding } from '../../operations/nouns/hypervisor.ts';

/** A condition that was checked, with what to do about it. */
export function findingText({ level, code, disk, message, remedy }: ShownFinding): string {
  const about = disk === null ? code : `${code} (${disk})`;
  const advice = remedy === null ? '' : `: ${remedy}`;
  return `${(level === 'blocker' ? 'BLOCKER' : level).padEnd(8)}${about}: ${message}${advice}`;
}
