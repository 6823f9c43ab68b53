import type { SessionRecord } from '../formats/store/session.ts';
import { isAnyAddress } from '../sys/networks.ts';
import { EXPORT_PATH } from '../targets/nfs/export-path.ts';
import type { DiskServer } from './disk-server.ts';

const NFS_PORT = 2049;

/**
 * Where a session is found beside its own NBD address. `HOST` is whatever name clients know this machine by;
 * `shared` is where all sessions' disks are shown, if this one's are.
 */
export function sessionAddresses(session: SessionRecord, shared: DiskServer | undefined): string[] {
  const { id, nfs, disks } = session;
  const addresses: string[] = [];
  if (nfs) {
    const known = nfs.host.includes(':') ? `[${nfs.host}]` : nfs.host;
    const port = nfs.ports.nfs === NFS_PORT ? '' : `:${nfs.ports.nfs}`;
    addresses.push(`nfs://${isAnyAddress(nfs.host) ? 'HOST' : known}${port}${EXPORT_PATH}/${id}`);
  }
  if (shared?.shows(session)) {
    const scheme = shared.tls ? 'nbds' : 'nbd';
    const { port } = shared.target;
    addresses.push(...disks.map(({ name }) => `${scheme}://HOST:${port}/${id}/${name}`));
  }
  return addresses;
}
