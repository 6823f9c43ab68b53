import { lchownSync, statSync } from 'node:fs';
import { systemError } from '../base/system-error.ts';
import { isSuperuser } from './run.ts';

/*
 * The user of programs that run foreign code for root: one that owns nothing on this host. Debian's policy reserves
 * the range ("Users and groups", 65000 to 65533); no name is needed.
 */

export interface GuestUser {
  readonly id: number;
  /** Whose members may use the processor's virtualization. */
  readonly groups: readonly number[];
}

const ID = 65_530;
const KVM = '/dev/kvm';

/** Undefined: this process is not root's, and its programs are its own user's. */
export function guestUser(): GuestUser | undefined {
  if (!isSuperuser()) return undefined;
  const kvm = statSync(KVM, { throwIfNoEntry: false });
  return { id: ID, groups: kvm ? [kvm.gid] : [] };
}

/** A link that this user has put in the place of the file is given itself, not what it points to. */
export function giveTo({ id }: GuestUser, path: string): void {
  try {
    lchownSync(path, id, id);
  } catch (cause) {
    throw systemError(cause, `give ${path} to user ${id}`);
  }
}

/** Words for `startTool`: the program as that user, without any privilege, also none to gain one. */
export function asGuest(
  user: GuestUser | undefined,
  command: string,
  args: readonly string[],
): readonly [string, readonly string[]] {
  const groups = user?.groups.length ? `--groups=${user.groups.join(',')}` : '--clear-groups';
  const change = user ? [`--reuid=${user.id}`, `--regid=${user.id}`, groups] : [];
  // The service's own privileges are ambient. To give them up setpriv calls capset(2), which the unit has to permit.
  // The kernel forgets the signal of the parent's death when the user changes.
  const words = [...change, '--ambient-caps=-all', '--no-new-privs'];
  return ['setpriv', [...words, '--pdeathsig=KILL', '--', command, ...args]];
}
