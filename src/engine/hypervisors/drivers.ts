import { openLibvirt } from '../../hypervisors/libvirt/libvirt.ts';
import { REMOTE_SOCKETS } from '../../hypervisors/libvirt/ssh-way.ts';
import { LIBVIRT_SCHEMES } from '../../hypervisors/libvirt/uri.ts';
import { realWorld } from '../../sys/world.ts';
import type { HypervisorDriver } from './hypervisors.ts';

/** QEMU's own account and group on Debian. */
const QEMU = 'libvirt-qemu';

const libvirt: HypervisorDriver = {
  kind: 'libvirt',
  schemes: LIBVIRT_SCHEMES,
  example: 'qemu:///system',
  open: (options, signal) => openLibvirt({ ...options, ...realWorld() }, signal),
  remoteCommand: () => 'virt-ssh-helper qemu:///system',
  prepare: (account, sockets = REMOTE_SOCKETS) => [
    `useradd --create-home --groups libvirt ${account}`,
    `install -d -o ${QEMU} -g ${account} -m 2770 ${sockets}`,
    // A crash of the host leaves QEMU's sockets.
    `echo 'r! ${sockets}/holdfast-*.nbd' >> /etc/tmpfiles.d/holdfast.conf`,
    // Where AppArmor confines QEMU, as on Debian.
    `echo '${sockets}/** rwk,' >> /etc/apparmor.d/local/abstractions/libvirt-qemu`,
  ],
};

/** Those of this release. */
export const DRIVERS: readonly HypervisorDriver[] = [libvirt];
