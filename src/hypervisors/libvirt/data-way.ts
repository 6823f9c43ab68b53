import { basename, join } from 'node:path/posix';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { LibvirtDriver } from './uri.ts';

/*
 * How bytes of disks come from the host: QEMU serves them over NBD on a socket of the host's, to which only accounts of
 * that host can connect that may open it; never on a port.
 */
export interface DataWay {
  /** Where QEMU makes sockets: a directory of the host. */
  directory(domain: RunningDomain): string;
  /** Opens the way to a socket of the host. Rejects HypervisorError. */
  open(remote: string, options: WayOptions): Promise<OpenWay>;
}

export interface WayOptions {
  readonly signal: AbortSignal;
  /** Told why, if the way is lost before it is closed: connections through it end then. */
  readonly onNotice: (message: string) => void;
}

interface RunningDomain {
  readonly id: number;
  readonly name: string;
}

export interface OpenWay extends AsyncDisposable {
  /** A socket of this machine. */
  readonly socket: string;
}

/** Where QEMU makes sockets that an account besides root may open, if no other directory is named. */
export const SHARED_SOCKETS = '/var/lib/libvirt/holdfast';

/**
 * The directory of this host that is used if none is named; undefined: each machine's own of libvirt's, which only root
 * and QEMU may enter.
 */
export function usualSockets(driver: LibvirtDriver, uid: number): string | undefined {
  return uid === 0 || driver === 'qemu:///session' ? undefined : SHARED_SOCKETS;
}

/** For this host. `directory`: where sockets lie; undefined: in each machine's own directory of libvirt's. */
export function localWay(directory: string | undefined): DataWay {
  return {
    directory: (domain) => directory ?? ownDirectory(domain),
    open: async (remote) => ({ socket: remote, [Symbol.asyncDispose]: async () => {} }),
  };
}

/** libvirt shortens names to this many characters there (virDomainDefGetShortName). */
const NAME_LENGTH = 20;

/** QEMU may write there, also where AppArmor confines it. */
function ownDirectory({ id, name }: RunningDomain): string {
  return `/var/lib/libvirt/qemu/domain-${id}-${Array.from(name).slice(0, NAME_LENGTH).join('')}`;
}

const PREFIX = 'holdfast-';
/** The end of a recovery point's ID: it differs each time. */
const TAIL_LENGTH = 6;
/** unix(7) */
const SOCKET_PATH_MAX = 107;

/** A new socket on the host for the backup of that name. Throws UNSUPPORTED. */
export function socketFor(
  { way, owner }: { readonly way: DataWay; readonly owner: string },
  domain: RunningDomain,
  backup: string,
): string {
  const path = join(way.directory(domain), `${PREFIX}${owner}-${backup.slice(-TAIL_LENGTH)}.nbd`);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  throw new HypervisorError(
    'UNSUPPORTED',
    `the path of a socket, ${path}, is longer than ${SOCKET_PATH_MAX} bytes: name a shorter directory on the ` +
      'hypervisor ("holdfast hypervisor change NAME --sockets DIR")',
  );
}

export function isOwnSocket({ owner }: { readonly owner: string }, path: string): boolean {
  return basename(path).startsWith(`${PREFIX}${owner}-`);
}
