import { inheritedDescriptors } from '../../sys/systemd/inherited-descriptors.ts';
import { takesDatagrams } from '../../sys/net/socket-options.ts';

/** Sockets on which systemd listens for the service, so that clients wait while it restarts. */
export interface InheritedSockets {
  /** For commands. */
  readonly control: number | undefined;
  readonly nfs: InheritedNfs | undefined;
  /** For the disks of all sessions. */
  readonly nbd: readonly number[];
}

export interface InheritedNfs {
  readonly nfs: readonly number[];
  readonly mount: readonly number[];
  readonly portmap: readonly number[];
  readonly datagrams: readonly number[];
}

/** By the names that the units in systemd/ give them (`FileDescriptorName=`). */
export function inheritedSockets(environment: NodeJS.ProcessEnv): InheritedSockets {
  const found = inheritedDescriptors(environment);
  const named = (name: string): readonly number[] => found.get(name) ?? [];
  const nfs = named('nfs');
  const portmap = named('nfs-portmap');
  return {
    control: named('control')[0],
    nfs:
      nfs.length === 0
        ? undefined
        : {
            nfs,
            mount: named('nfs-mount'),
            portmap: portmap.filter((fd) => !takesDatagrams(fd)),
            datagrams: portmap.filter(takesDatagrams),
          },
    nbd: named('nbd'),
  };
}
