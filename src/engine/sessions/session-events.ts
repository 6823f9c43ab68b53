/** What happens to sessions of the service. `ended`: it is gone, or an ordinary one that waits for people. */
export type SupervisorEvent =
  | { readonly kind: 'resumed' | 'started' | 'stopped' | 'ended'; readonly session: string }
  | { readonly kind: 'waits'; readonly session: string; readonly reason: string }
  | { readonly kind: 'notice'; readonly session: string; readonly message: string };

export type OnEvent = (event: SupervisorEvent) => void;

export function wordsOf(event: SupervisorEvent): string {
  if (event.kind === 'waits') return `cannot be resumed yet: ${event.reason}`;
  return event.kind === 'notice' ? event.message : event.kind;
}
