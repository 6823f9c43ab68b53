import { openLibvirt } from '../../hypervisors/drivers/libvirt.ts';
import { SHARED_SOCKETS } from '../../hypervisors/libvirt/data-way.ts';
import { LIBVIRT_SCHEMES } from '../../hypervisors/libvirt/uri.ts';
import { QMP_SCHEMES } from '../../hypervisors/qmp/place.ts';
import { openQmp } from '../../hypervisors/qmp/qmp.ts';
import { realWorld } from '../../sys/world.ts';
import type { HypervisorDriver } from './hypervisors.ts';

/** QEMU's own account and group on Debian. */
const QEMU = 'libvirt-qemu';
/** The account of the service, which gets its groups when it starts. */
const SERVICE = 'holdfast';

const libvirt: HypervisorDriver = {
  kind: 'libvirt',
  schemes: LIBVIRT_SCHEMES,
  example: 'qemu:///system',
  open: (options, signal) => openLibvirt({ ...options, ...realWorld() }, signal),
  remoteCommand: () => 'virt-ssh-helper qemu:///system',
  prepare: (account, sockets = SHARED_SOCKETS) => [
    ...(account === 'root' ? [] : [`useradd --create-home --groups libvirt ${account}`]),
    ...directoryFor(account, sockets),
    ...forwardsOf(account),
  ],
  prepareHere(account, { path }, sockets = SHARED_SOCKETS) {
    // Root may do all of it, and a user all with machines of their own.
    if (account === 'root' || path !== '/system') return [];
    const restart = account === SERVICE ? ['systemctl restart holdfastd'] : [];
    return [
      `usermod -aG libvirt ${account}`,
      ...directoryFor(account, sockets),
      // Machines that are run from a backup; Linux before 6.17 does not ask AppArmor for that.
      `echo '/run/holdfast-nbd/* rw,' >> /etc/apparmor.d/local/abstractions/libvirt-qemu`,
      ...restart,
    ];
  },
  prepareTls: [
    'systemctl enable --now libvirtd-tls.socket',
    `install -d -m 750 -g ${QEMU} /etc/pki/qemu`,
    `install -m 640 -g ${QEMU} ca-cert.pem server-cert.pem server-key.pem /etc/pki/qemu`,
    `echo 'backup_tls_x509_cert_dir = "/etc/pki/qemu"' >> /etc/libvirt/qemu.conf`,
    'systemctl restart libvirtd',
  ],
};

/** A directory where QEMU makes sockets, which get the group of the account. */
function directoryFor(account: string, sockets: string): readonly string[] {
  return [
    `install -d -o ${QEMU} -g ${account} -m 2770 ${sockets}`,
    // A crash of the host leaves QEMU's sockets. Not holdfast.conf: it would take the place of what appliance/install
    // puts into /usr/lib/tmpfiles.d under that name.
    `echo 'r! ${sockets}/holdfast-*.nbd' >> /etc/tmpfiles.d/holdfast-sockets.conf`,
    // Where AppArmor confines QEMU, as on Debian.
    `echo '${sockets}/** rwk,' >> /etc/apparmor.d/local/abstractions/libvirt-qemu`,
  ];
}

/** sshd makes sockets there through which QEMU reaches disks of sessions: in that directory, and open to it. */
function forwardsOf(account: string): readonly string[] {
  const settings = `Match User ${account}\\n  StreamLocalBindMask 0111\\n  StreamLocalBindUnlink yes\\n`;
  // Not holdfast.conf: that is of a Holdfast on that host (appliance/ssh/install).
  const file = `/etc/ssh/sshd_config.d/holdfast-for-${account}.conf`;
  return [`printf '${settings}' >${file}`, 'systemctl reload ssh'];
}

/** Only machines of this host: there is nothing to prepare for an account. */
const qemu: HypervisorDriver = {
  kind: 'qemu',
  schemes: QMP_SCHEMES,
  example: 'qemu+qmp:///run/qemu',
  open: (options, signal) => openQmp({ ...options, ...realWorld() }, signal),
  remoteCommand: () => '',
  prepare: () => [],
};

/** Those of this release. */
export const DRIVERS: readonly HypervisorDriver[] = [libvirt, qemu];
