import { openLibvirt } from '../../hypervisors/libvirt/libvirt.ts';
import { LIBVIRT_SCHEMES } from '../../hypervisors/libvirt/uri.ts';
import { realWorld } from '../../sys/world.ts';
import type { HypervisorDriver } from './hypervisors.ts';

/** Where QEMU makes sockets on another host, if no other directory is named. */
const REMOTE_SOCKETS = '/var/lib/libvirt/holdfast';
/** QEMU's own account and group on Debian. */
const QEMU = 'libvirt-qemu';

const libvirt: HypervisorDriver = {
  kind: 'libvirt',
  schemes: LIBVIRT_SCHEMES,
  example: 'qemu:///system',
  async open({ target, sockets, ...options }, signal) {
    const usual = target.ssh ? REMOTE_SOCKETS : undefined;
    return openLibvirt({ ...options, ...realWorld(), target, sockets: sockets ?? usual }, signal);
  },
  remoteCommand: () => 'virt-ssh-helper qemu:///system',
  prepare: (account, sockets = REMOTE_SOCKETS) => [
    `useradd --create-home --groups libvirt ${account}`,
    `install -d -o ${QEMU} -g ${account} -m 2770 ${sockets}`,
    // Where AppArmor confines QEMU, as on Debian.
    `echo '${sockets}/** rwk,' >> /etc/apparmor.d/local/abstractions/libvirt-qemu`,
  ],
};

/** Those of this release. */
export const DRIVERS: readonly HypervisorDriver[] = [libvirt];
