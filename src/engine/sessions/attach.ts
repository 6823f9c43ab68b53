import { nbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { ReadySession } from '../../operations/nouns/session.ts';
import {
  type AttachedDisk,
  libvirtXml,
  qemuArguments,
  shellWords,
} from '../../sessions/guest/guest-config.ts';
import { targetsOf } from '../../sessions/guest/libvirt-disks.ts';
import type { SessionMachine } from '../../sessions/guest/session-machine.ts';
import { reachableAddress } from '../../sys/net/this-host.ts';
import { parseListenAddress } from '../base/listen-address.ts';

/**
 * Configuration to paste on hypervisors of each kind, which attaches the disks of a session at its present address.
 * `about`: undefined without the key of the set, or if the recovery point knows nothing of its machine.
 */
export async function attachments(
  session: SessionRecord,
  tls: AttachedDisk['tls'],
  about: SessionMachine | undefined,
): Promise<ReadySession> {
  const { id, point, disks, nfs } = session;
  const address = reachableAddress(parseListenAddress(session.listen));
  const machine = about?.machine;
  const places = machine && new Map(targetsOf(session, machine).map((it) => [it.name, it]));
  const attached = disks.map(({ name: disk, sectorSize }) => ({
    ...{ disk, address, tls },
    ...(sectorSize && { sectorSize }),
    ...(places && { place: places.get(disk)! }),
  }));
  return {
    event: 'ready',
    ...{ session: id, point },
    exports: disks.map(({ name: disk, size, sectorSize }) => ({
      ...{ disk, size, uri: nbdUri(address, disk, session.tls) },
      ...(sectorSize && { sectorSize }),
    })),
    qemu: shellWords(qemuArguments(attached)),
    libvirt: libvirtXml(attached),
    ...(nfs && { nfs: (await nfsParts()).nfsResult(session, nfs, about) }),
  };
}

/** Loaded on demand: a guest waits for every file that is read before its first byte. */
export function nfsParts() {
  return import('./nfs-place.ts');
}
