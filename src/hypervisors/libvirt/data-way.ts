import { basename, join } from 'node:path/posix';
import type { TlsServer } from '../../sys/net/tls-client.ts';
import type { Finding } from '../base/finding.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { LibvirtDriver } from './uri.ts';
import type { BackupServer } from './backup-xml.ts';
import type { LibvirtError } from './libvirt-error.ts';

/*
 * How bytes of disks come from the host: QEMU serves them over NBD, on a socket of the host's, to which only accounts
 * of that host can connect that may open it; on a port only with TLS that both sides prove themselves by.
 */
export interface DataWay {
  /** By which a backup is known while it runs: of that name, which differs each time. Throws UNSUPPORTED. */
  place(domain: RunningDomain, name: string): string;
  /** Where QEMU is to serve a backup; asked again, it may name another port. */
  server(place: string): BackupServer;
  /** What to say where libvirt refused to serve there; `again`: whether another port may do. */
  explain(
    place: string,
    cause: LibvirtError,
  ): { readonly error: HypervisorError; readonly again: boolean };
  /** What should be known of it before the first backup. */
  readonly note: Finding | undefined;
  /** Opens the way to a backup that runs. Rejects HypervisorError. */
  open(place: string, options: WayOptions): Promise<OpenWay>;
}

export interface WayOptions {
  /** One of those that are served. */
  readonly disk: string;
  readonly signal: AbortSignal;
  /** Told why, if the way is lost before it is closed: connections through it end then. */
  readonly onNotice: (message: string) => void;
}

interface RunningDomain {
  readonly id: number;
  readonly name: string;
}

export interface OpenWay extends AsyncDisposable {
  /** The address of a disk, for our NBD client. */
  uri(disk: string): string;
  /** How QEMU proves who it is; undefined: the way does that. */
  readonly tls: TlsServer | undefined;
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
    ...socketsIn((domain) => directory ?? ownDirectory(domain)),
    open: async (socket) => ({ ...atSocket(socket), [Symbol.asyncDispose]: async () => {} }),
  };
}

/** What ways have in common on which QEMU makes sockets, in a directory of the host. */
export function socketsIn(directory: (domain: RunningDomain) => string): Omit<DataWay, 'open'> {
  return {
    place: (domain, name) => socketIn(directory(domain), name),
    server: (socket) => ({ kind: 'unix', socket }),
    explain: (_, error) => ({ error, again: false }),
    note: undefined,
  };
}

/** `socket`: of this machine. */
export function atSocket(socket: string): Omit<OpenWay, typeof Symbol.asyncDispose> {
  return {
    uri: (disk) => `nbd+unix:///${encodeURIComponent(disk)}?socket=${encodeURIComponent(socket)}`,
    tls: undefined,
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

/** By which the backup with that checkpoint is known while it runs. Throws UNSUPPORTED. */
export function placeFor(
  { way, owner }: { readonly way: DataWay; readonly owner: string },
  domain: RunningDomain,
  checkpoint: string,
): string {
  return way.place(domain, `${PREFIX}${owner}-${checkpoint.slice(-TAIL_LENGTH)}`);
}

function socketIn(directory: string, name: string): string {
  const path = join(directory, `${name}.nbd`);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  throw new HypervisorError(
    'UNSUPPORTED',
    `the path of a socket, ${path}, is longer than ${SOCKET_PATH_MAX} bytes: name a shorter directory on the ` +
      'hypervisor ("holdfast hypervisor change NAME --sockets DIR")',
  );
}

export function isOwnPlace({ owner }: { readonly owner: string }, place: string): boolean {
  return basename(place).startsWith(`${PREFIX}${owner}-`);
}
