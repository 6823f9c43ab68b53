import { BlockError } from '../../block/block-error.ts';
import { openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { inUri } from '../../sys/net/networks.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { TlsTarget } from '../base/target.ts';
import { exportOf } from './backup-xml.ts';
import type { DataWay } from './data-way.ts';
import type { LibvirtError } from './libvirt-error.ts';

/*
 * The way to disks of machines on a host that is reached through TLS: QEMU serves a backup at one of a few ports of the
 * address at which libvirtd answered us, by TLS and only to clients with a certificate that its own authority has
 * signed. That it demands one is tried out before anything is read.
 */

const TLS_PORTS = { first: 10_809, count: 20 };

const LAST = TLS_PORTS.first + TLS_PORTS.count - 1;

const CERTIFICATES =
  'put ca-cert.pem, server-cert.pem and server-key.pem into a directory there that QEMU may read, name it in ' +
  '/etc/libvirt/qemu.conf (backup_tls_x509_cert_dir), restart libvirtd, and let a firewall pass these ports';

/** `peer`: the address of the host. */
export function tlsWay({ host, server: tls }: TlsTarget, peer: string): DataWay {
  /** By place: its port, and how many it has been given. */
  const given = new Map<string, { readonly port: number; readonly tries: number }>();
  let next = 0;

  return {
    place: (_, name) => name,
    server(place) {
      const port = TLS_PORTS.first + (next++ % TLS_PORTS.count);
      given.set(place, { port, tries: (given.get(place)?.tries ?? 0) + 1 });
      return { kind: 'tls', address: peer, port, mark: place };
    },
    explain(place, cause) {
      const isTaken = cause.message.includes('Address already in use');
      const again = isTaken && given.get(place)!.tries < TLS_PORTS.count;
      return { error: explained(cause, host, isTaken), again };
    },
    note: {
      level: 'note',
      code: 'data-path',
      message: `disks come from QEMU over TLS, from ports ${TLS_PORTS.first} to ${LAST} of ${peer}`,
      remedy: CERTIFICATES,
    },
    async open(place, { disk: any, signal }) {
      const { port } = given.get(place)!;
      given.delete(place);
      const uri = (disk: string): string =>
        `nbds://${inUri(peer)}:${port}/${encodeURIComponent(exportOf(place, disk))}`;
      await requireGuarded(uri(any), { host, tls, signal });
      return { uri, tls, [Symbol.asyncDispose]: async () => {} };
    },
  };
}

/** libvirt passes on what QEMU says in words only. */
function explained(cause: LibvirtError, host: string, isTaken: boolean): HypervisorError {
  const { message, native } = cause;
  const why = isTaken
    ? `all ports from ${TLS_PORTS.first} to ${LAST} are in use`
    : WHY.find(({ words }) => words.test(message))?.why;
  if (why === undefined) return cause;
  const words = `QEMU on ${host} cannot serve disks over TLS: ${why} (${message})`;
  return new HypervisorError(isTaken ? 'BUSY' : 'UNSUPPORTED', words, { cause, native });
}

const WHY = [
  {
    words: /credentials|certificate|TLS|tls-creds/i,
    why: `it has no certificate: ${CERTIFICATES}`,
  },
  {
    words: /Cannot assign requested address/,
    why: 'the address at which libvirtd answers is not one of its own: is there a NAT in between?',
  },
];

interface Guarded {
  readonly host: string;
  readonly tls: TlsTarget['server'];
  readonly signal: AbortSignal;
}

/** Rejects UNSUPPORTED where QEMU serves a client that shows no certificate: any host could read the disks then. */
async function requireGuarded(uri: string, { host, tls, signal }: Guarded): Promise<void> {
  try {
    const disk = await openNbdDisk(uri, { signal, tls: { ...tls, own: undefined } });
    await disk[Symbol.asyncDispose]();
  } catch (cause) {
    // Whatever else is wrong, the client with a certificate meets as well.
    if (!(cause instanceof SystemError) && !(cause instanceof BlockError)) throw cause;
    return;
  }
  throw new HypervisorError(
    'UNSUPPORTED',
    `QEMU on ${host} serves disks to any client, also without a certificate: set backup_tls_x509_verify = 1 in ` +
      '/etc/libvirt/qemu.conf there, and restart libvirtd',
  );
}
