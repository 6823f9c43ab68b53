import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { inUri, isAnyAddress } from '../../sys/net/networks.ts';
import { reachableAt } from '../../sys/net/this-host.ts';
import { EXPORT_PATH } from '../../servers/nfs/exports/export-path.ts';
import type { DiskServer } from './disk-server.ts';

const NFS_PORT = 2049;

/**
 * Addresses of a session besides its own NBD address; `shared` shows disks of all sessions, perhaps this one's too.
 */
export function sessionAddresses(session: SessionRecord, shared: DiskServer | undefined): string[] {
  const { id, nfs, disks } = session;
  const addresses: string[] = [];
  if (nfs) {
    const host = isAnyAddress(nfs.host) ? reachableAt(nfs.allow) : nfs.host;
    const port = nfs.ports.nfs === NFS_PORT ? '' : `:${nfs.ports.nfs}`;
    addresses.push(`nfs://${inUri(host)}${port}${EXPORT_PATH}/${id}`);
  }
  if (shared?.shows(session)) {
    const scheme = shared.tls ? 'nbds' : 'nbd';
    const { port } = shared.target;
    const host = inUri(shared.host());
    addresses.push(...disks.map(({ name }) => `${scheme}://${host}:${port}/${id}/${name}`));
  }
  return addresses;
}
