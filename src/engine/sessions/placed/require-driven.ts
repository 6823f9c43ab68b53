import type { SessionRecord } from '../../../formats/store/sessions/session.ts';
import { SessionError } from '../../../sessions/state/session-error.ts';

export interface Resuming {
  /** Whether its disks are to be served at another address, or in another way, than before. */
  readonly isElsewhere: boolean;
  /** Whether this process carries on sessions with a machine on a hypervisor. */
  readonly drives: boolean;
}

/**
 * Throws IMPOSSIBLE. Without the steps of the service its machine would never move, nor be withdrawn; and its
 * definition on the hypervisor names the address of its disks.
 */
export function requireDriven(
  { id, placement, phase }: SessionRecord,
  { isElsewhere, drives }: Resuming,
): void {
  if (!placement || phase === 'ready') return;
  const what = `session ${id} has a machine on hypervisor ${placement.hypervisor}`;
  if (!drives) {
    throw new SessionError('IMPOSSIBLE', `${what}: only the service continues it: start holdfastd`);
  }
  if (!isElsewhere) return;
  const advice = 'resume it without an address, TLS or NFS';
  throw new SessionError('IMPOSSIBLE', `${what}, which needs its disks where they were: ${advice}`);
}
