import type { SessionSummary } from '../operations/nouns/session.ts';

/** The state in a word, for people: a session that is ready to be resumed is "stopped". */
export function sessionState({
  state,
  waits,
  adopted,
  holder,
}: Pick<SessionSummary, 'state' | 'waits' | 'adopted' | 'holder'>): string {
  if (waits !== null) return 'waits';
  if (!adopted && holder === null) return 'not adopted';
  // The machine of a session on a hypervisor may run: its disks are not served.
  const isStopped = state === 'ready' || (state === 'running' && holder === null);
  return isStopped ? 'stopped' : state;
}
