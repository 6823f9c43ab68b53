import { join } from 'node:path/posix';
import type { Clock } from '../../sys/base/clock.ts';
import { privateDirectory } from '../../sys/files/private-directory.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { SshTarget } from '../base/target.ts';
import { atSocket, type DataWay, socketsIn } from './data-way.ts';
import { forwardOf, openTunnel, ready, type Tunnel } from './ssh-tunnel.ts';

/*
 * The way to disks of machines on another host: an `ssh` of its own for each backup, which passes a socket in a private
 * directory of this host on to QEMU's socket there (ssh(1), -L). No port is open, on neither host. The directory there
 * belongs to QEMU, with the group of the account that we are: what is made in it gets that group.
 */

export function sshWay(ssh: SshTarget, directory: string, clock: Clock): DataWay {
  return {
    ...socketsIn(() => directory),
    async open(remote, { signal, onNotice }) {
      await using stack = new AsyncDisposableStack();
      const here = stack.use(await privateDirectory());
      const socket = join(here.path, 'disks.sock');
      const tunnel = stack.use(await openTunnel(ssh, ['-L', forwardOf(socket, remote)]));
      const refused = (lost: Tunnel) => closedThere(lost, { ssh, remote });
      await ready(tunnel, { ssh, socket, clock, signal, refused });
      tunnel.onLost(onNotice);
      const owned = stack.move();
      return { ...atSocket(socket), [Symbol.asyncDispose]: () => owned.disposeAsync() };
    },
  };
}

/** sshd gives the same answer whatever its reason is: only its log tells more. */
async function closedThere(
  tunnel: Tunnel,
  { ssh, remote }: { readonly ssh: SshTarget; readonly remote: string },
): Promise<HypervisorError> {
  tunnel.stream.destroy();
  const { stderr } = await tunnel.stream.ended;
  return new HypervisorError(
    'DENIED',
    `${ssh.host} does not let the account "${ssh.account}" reach QEMU's socket ${remote}. On the hypervisor, see ` +
      `that the account may enter the directory and open what QEMU makes there, that neither AllowTcpForwarding nor ` +
      'AllowStreamLocalForwarding is "no" (sshd -T), and that the line of its authorized_keys is the one that ' +
      '"holdfast hypervisor show" prints; "journalctl -u ssh" there has the reason',
    { native: stderr.trim().slice(-2000) },
  );
}
