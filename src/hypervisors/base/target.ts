import type { X509Server } from '../../sys/net/tls-client.ts';

/** Where a hypervisor is, and with what it is reached. */
export interface HypervisorTarget {
  readonly uri: HypervisorUri;
  /** Undefined: the way to it is not through SSH. */
  readonly ssh: SshTarget | undefined;
  /** Undefined: the way to it is not through TLS. */
  readonly tls?: TlsTarget | undefined;
}

/** `qemu+ssh://ACCOUNT@HOST:PORT/system`, `qemu:///system?socket=PATH`, `qemu+qmp:///PATH`; never with a password. */
export interface HypervisorUri {
  /** Without "://". */
  readonly scheme: string;
  readonly account: string | undefined;
  /** Without the brackets of an IPv6 address. */
  readonly host: string | undefined;
  readonly port: number | undefined;
  /** With the "/" that it begins with. */
  readonly path: string;
  /** A socket of this host instead of the usual one. */
  readonly socket: string | undefined;
}

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** How it proves who it is, and we to it. */
  readonly server: X509Server;
}

export interface SshTarget {
  readonly account: string;
  readonly host: string;
  readonly port: number;
  /** Files that only this user may read: our private key, and the host key that it must show. */
  readonly key: string;
  readonly knownHosts: string;
  /** The name under which `knownHosts` lists it (ssh_config(5), HostKeyAlias). */
  readonly alias: string;
}

const ACCOUNT = String.raw`(?:(?<account>[A-Za-z0-9_][\w.-]*)@)?`;
const HOST = String.raw`(?<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][\w.-]*)`;
// Neither a host nor an account begins with "-": programs would take it for an option.
const URI = new RegExp(
  String.raw`^(?<scheme>[a-z][a-z0-9+]*):\/\/(?:${ACCOUNT}${HOST}(?::(?<port>\d{1,5}))?)?` +
    String.raw`(?<path>\/[^\s?#]*)(?:\?socket=(?<socket>\/[^\s?#&]+))?$`,
);

/** Undefined: it is none that Holdfast understands. */
export function parseHypervisorUri(text: string): HypervisorUri | undefined {
  const found = URI.exec(text)?.groups;
  if (!found) return undefined;
  const { scheme = '', account, host, port, path = '/', socket } = found;
  if (port !== undefined && (Number(port) === 0 || Number(port) > 0xffff)) return undefined;
  return {
    ...{ scheme, account, path, socket },
    host: host?.replace(/^\[|\]$/g, ''),
    port: port === undefined ? undefined : Number(port),
  };
}
