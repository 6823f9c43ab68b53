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
  return state === 'ready' ? 'stopped' : state;
}
