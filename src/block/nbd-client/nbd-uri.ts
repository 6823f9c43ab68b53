import type { Address, PeerAddress } from '../../sys/net/network.ts';
import { inUri } from '../../sys/net/networks.ts';
import { BlockError } from '../block-error.ts';

export interface NbdPlace {
  readonly address: PeerAddress;
  readonly name: string;
}

const PORT = 10_809;

export function isNbdUri(text: string): boolean {
  return /^nbds?(\+unix)?:\/\//.test(text);
}

/** `nbd://HOST[:PORT]/NAME` or `nbd+unix:///NAME?socket=PATH` (doc/uri.md of the NBD project). */
export function parseNbdUri(text: string): NbdPlace {
  let uri: URL;
  try {
    uri = new URL(text);
  } catch (cause) {
    throw new BlockError('IO', `${text} is not an NBD URI`, { cause });
  }
  const name = decodeURIComponent(uri.pathname.replace(/^\//, ''));
  if (uri.protocol === 'nbd+unix:') {
    const path = uri.searchParams.get('socket');
    if (!path) throw new BlockError('IO', `${text} lacks "?socket=PATH"`);
    return { name, address: { kind: 'unix', path } };
  }
  if (uri.protocol !== 'nbd:') {
    throw new BlockError('IO', `${text}: TLS is not supported for sources and targets`);
  }
  // The brackets of an IPv6 address belong to the URI, not to the address.
  const host = uri.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost';
  return { name, address: { kind: 'tcp', host, port: uri.port === '' ? PORT : Number(uri.port) } };
}

/** As in doc/uri.md of the NBD project. */
export function nbdUri(address: Address, name: string, tls: boolean): string {
  const scheme = tls ? 'nbds' : 'nbd';
  const path = encodeURIComponent(name);
  switch (address.kind) {
    case 'unix':
      // Slashes need no escape in a query, and people read them.
      return `${scheme}+unix:///${path}?socket=${encodeURIComponent(address.path).replaceAll('%2F', '/')}`;
    case 'tcp':
      return `${scheme}://${inUri(address.host)}:${address.port}/${path}`;
    case 'fd':
      break;
  }
  return `${scheme}:///${path}`;
}
