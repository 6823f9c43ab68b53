/** How a session ended. `moved`: its machine has all its disks on its hypervisor. */
export type SessionEnd = 'kept' | 'finalized' | 'discarded' | 'moved';

/** What happens to sessions of the service. */
export type SupervisorEvent =
  | { readonly kind: 'resumed' | 'started' | 'stopped'; readonly session: string }
  /** Undefined: it is an ordinary one now, which waits for people. */
  | { readonly kind: 'ended'; readonly session: string; readonly how: SessionEnd | undefined }
  | { readonly kind: 'waits'; readonly session: string; readonly reason: string }
  | { readonly kind: 'notice'; readonly session: string; readonly message: string };

export type OnEvent = (event: SupervisorEvent) => void;

export function wordsOf(event: SupervisorEvent): string {
  if (event.kind === 'waits') return `cannot be resumed yet: ${event.reason}`;
  if (event.kind === 'ended' && event.how) return `ended: ${event.how}`;
  return event.kind === 'notice' ? event.message : event.kind;
}
