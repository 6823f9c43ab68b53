import type { HypervisorTarget } from '../base/target.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';

/** How addresses that are taken begin. */
export const QMP_SCHEMES: readonly string[] = ['qemu+qmp'];

/** The directory of the machines' sockets. Throws UNSUPPORTED, with what can be written instead. */
export function qmpDirectory({ uri }: HypervisorTarget): string {
  const { host, account, socket, path } = uri;
  if (host !== undefined || account !== undefined) {
    throw refused('the machines of other hosts are not reached');
  }
  if (socket !== undefined) throw refused('all sockets of a directory are meant, not a single one');
  if (path === '/') throw refused('the directory is missing');
  return path.replace(/\/+$/, '');
}

function refused(why: string): HypervisorError {
  return new HypervisorError(
    'UNSUPPORTED',
    `that is not the address of machines of plain QEMU: ${why}. Write qemu+qmp:// and the directory of their ` +
      'sockets: qemu+qmp:///run/qemu',
  );
}
