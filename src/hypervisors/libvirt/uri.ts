import { homeDirectory } from '../../sys/files/private-files.ts';
import { ownIds } from '../../sys/net/unix-peer.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { HypervisorTarget, HypervisorUri, SshTarget, TlsTarget } from '../base/target.ts';

/** Where libvirt is spoken with: at one of these sockets of this host, or through SSH or TLS on another. */
export type LibvirtPlace =
  | { readonly kind: 'socket'; readonly driver: LibvirtDriver; readonly sockets: readonly string[] }
  | { readonly kind: 'ssh'; readonly driver: 'qemu:///system'; readonly ssh: SshTarget }
  | { readonly kind: 'tls'; readonly driver: 'qemu:///system'; readonly tls: TlsTarget };

/** libvirt's own name of what answers: QEMU for the whole host, or for one user. */
export type LibvirtDriver = 'qemu:///system' | 'qemu:///session';

/** How addresses that are taken begin. */
export const LIBVIRT_SCHEMES: readonly string[] = ['qemu', 'qemu+unix', 'qemu+ssh', 'qemu+tls'];

/** The one daemon for everything has the first, that for QEMU alone on newer hosts the second. */
const SOCKETS = ['libvirt-sock', 'virtqemud-sock'];
const SYSTEM_DIRECTORY = '/run/libvirt';

/** Throws UNSUPPORTED, with what can be written instead. */
export function libvirtPlace({ uri, ssh, tls }: HypervisorTarget): LibvirtPlace {
  const { scheme, host, path, socket } = uri;
  if (!LIBVIRT_SCHEMES.includes(scheme)) throw refused(uri, `"${scheme}" is not known`);
  if (path !== '/system' && path !== '/session') {
    throw refused(uri, 'it ends in /system, or in /session for the machines of one user');
  }
  if (scheme === 'qemu+ssh') {
    if (path !== '/system') throw refused(uri, 'through SSH only /system can be reached');
    if (socket !== undefined) throw refused(uri, 'through SSH the usual socket is used');
    if (!ssh) throw refused(uri, 'the account and the host are missing');
    return { kind: 'ssh', driver: 'qemu:///system', ssh };
  }
  if (scheme === 'qemu+tls') {
    if (path !== '/system') throw refused(uri, 'through TLS only /system can be reached');
    if (socket !== undefined) throw refused(uri, 'through TLS no socket is used');
    if (uri.account !== undefined)
      throw refused(uri, 'our certificate takes the place of an account');
    if (!tls) throw refused(uri, 'the host is missing');
    return { kind: 'tls', driver: 'qemu:///system', tls };
  }
  if (host !== undefined) throw refused(uri, 'another host is reached through SSH or TLS');
  const driver = path === '/system' ? 'qemu:///system' : 'qemu:///session';
  if (socket !== undefined) return { kind: 'socket', driver, sockets: [socket] };
  const directories = path === '/system' ? [SYSTEM_DIRECTORY] : sessionDirectories();
  const sockets = directories.flatMap((it) => SOCKETS.map((name) => `${it}/${name}`));
  return { kind: 'socket', driver, sockets };
}

/** The second one is that of a user who has not logged in. */
function sessionDirectories(): readonly string[] {
  return [`/run/user/${ownIds().uid}/libvirt`, `${homeDirectory()}/.cache/libvirt`];
}

function refused({ scheme, path }: HypervisorUri, why: string): HypervisorError {
  return new HypervisorError(
    'UNSUPPORTED',
    `${scheme}://...${path} is not an address of libvirt here: ${why}. Write qemu:///system, ` +
      'qemu+unix:///system?socket=PATH, qemu+ssh://ACCOUNT@HOST/system or qemu+tls://HOST/system',
  );
}
