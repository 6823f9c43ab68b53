import type { SessionRecord } from '../../../formats/store/sessions/session.ts';
import { SessionError } from '../../../sessions/state/session-error.ts';

/** Where and how its disks are to be served, if not as before. */
interface Elsewhere {
  readonly listen: string | undefined;
  readonly tls: object | undefined;
  readonly nfs: object | undefined;
}

/**
 * Throws IMPOSSIBLE. Without the steps of the service its machine would never move, nor be withdrawn; and its
 * definition on the hypervisor names the address of its disks. `drives`: this process takes these steps.
 */
export function requireDriven(
  { id, placement, phase }: SessionRecord,
  { listen, tls, nfs }: Elsewhere,
  drives = false,
): void {
  if (!placement || phase === 'ready') return;
  const what = `session ${id} has a machine on hypervisor ${placement.hypervisor}`;
  if (!drives) {
    throw new SessionError('IMPOSSIBLE', `${what}: only the service continues it: start holdfastd`);
  }
  if (listen === undefined && !tls && !nfs) return;
  const advice = 'resume it without an address, TLS or NFS';
  throw new SessionError('IMPOSSIBLE', `${what}, which needs its disks where they were: ${advice}`);
}
