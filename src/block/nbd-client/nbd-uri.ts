import type { Address, PeerAddress } from '../../sys/net/network.ts';
import { inUri } from '../../sys/net/networks.ts';
import { BlockError } from '../block-error.ts';

/*
 * Addresses of exports, by doc/uri.md of the NBD project, with the parameters that libnbd has for TLS and one of ours:
 *
 *   nbd://HOST[:PORT]/EXPORT          nbd+unix:///EXPORT?socket=PATH          without TLS
 *   nbds://[ID@]HOST[:PORT]/EXPORT    nbds+unix://[ID@]/EXPORT?socket=PATH    with TLS, or not at all
 *     tls-certificates=DIR     ca-cert.pem; client-cert.pem and client-key.pem for servers that demand them
 *     tls-fingerprint=SHA256   of the server's certificate
 *     tls-hostname=NAME        in the server's certificate; default: HOST
 *     tls-psk-file=FILE        lines of "ID:key" in place of certificates
 */

export interface NbdPlace {
  readonly address: PeerAddress;
  readonly name: string;
  /** Present: TLS is begun, or nothing is sent. */
  readonly tls?: NbdTls;
}

/** What a URI says of TLS; paths are absolute. */
export interface NbdTls {
  readonly certificates: string | undefined;
  readonly pskFile: string | undefined;
  readonly identity: string | undefined;
  readonly fingerprint: string | undefined;
  /** The name that the server's certificate must have; undefined: the URI says none. */
  readonly hostname: string | undefined;
}

const PORT = 10_809;
const TLS_PARAMETERS = ['tls-certificates', 'tls-psk-file', 'tls-fingerprint', 'tls-hostname'];
/** SHA-256 as openssl writes it, with or without colons. */
const FINGERPRINT = /^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$/;

export function isNbdUri(text: string): boolean {
  return /^nbds?(\+unix)?:\/\//.test(text);
}

/** Throws IO for anything else than the above. */
export function parseNbdUri(text: string): NbdPlace {
  const uri = uriOf(text);
  const isUnix = uri.protocol.endsWith('+unix:');
  const isTls = uri.protocol.startsWith('nbds');
  const known = [...(isUnix ? ['socket'] : []), ...(isTls ? TLS_PARAMETERS : [])];
  const unknown = [...uri.searchParams.keys()].find((it) => !known.includes(it));
  if (unknown !== undefined) {
    const hint = TLS_PARAMETERS.includes(unknown) ? ': TLS begins with nbds://, not nbd://' : '';
    throw new BlockError('IO', `${text}: no parameter "${unknown}" is known here${hint}`);
  }
  const name = decoded(text, uri.pathname.replace(/^\//, ''));
  // The brackets of an IPv6 address belong to the URI, not to the address.
  const host = uri.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost';
  const port = uri.port === '' ? PORT : Number(uri.port);
  const address = isUnix ? unixAddress(text, uri) : ({ kind: 'tcp', host, port } as const);
  return isTls
    ? { name, address, tls: tlsOf(text, uri, isUnix ? undefined : host) }
    : { name, address };
}

/** An ID without a host, as libnbd has it for sockets; for `URL` that is none. */
const ID_ALONE = /^(nbds?\+unix:\/\/[^/?#@]*@)(?=[/?])/;

function uriOf(text: string): URL {
  try {
    if (isNbdUri(text)) return new URL(text.replace(ID_ALONE, '$1localhost'));
  } catch (cause) {
    throw new BlockError('IO', `${text} is not an NBD URI`, { cause });
  }
  throw new BlockError('IO', `${text} is not an NBD URI`);
}

function decoded(text: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new BlockError('IO', `${text} is not an NBD URI: a "%" in it begins no character`, {
      cause,
    });
  }
}

function unixAddress(text: string, uri: URL): PeerAddress {
  const path = uri.searchParams.get('socket');
  if (!path) throw new BlockError('IO', `${text} lacks "?socket=PATH"`);
  return { kind: 'unix', path };
}

function tlsOf(text: string, uri: URL, host: string | undefined): NbdTls {
  const of = (key: string): string | undefined => uri.searchParams.get(key) ?? undefined;
  const [certificates, pskFile] = [of('tls-certificates'), of('tls-psk-file')];
  const [fingerprint, hostname] = [of('tls-fingerprint'), of('tls-hostname')];
  if (fingerprint !== undefined && !FINGERPRINT.test(fingerprint)) {
    throw new BlockError('IO', `${text}: tls-fingerprint is not the 64 digits of a SHA-256`);
  }
  for (const path of [certificates, pskFile]) {
    if (path === undefined || path.startsWith('/')) continue;
    throw new BlockError('IO', `${text}: "${path}" is not a path that begins with /`);
  }
  if (pskFile !== undefined && (certificates ?? fingerprint ?? hostname) !== undefined) {
    throw new BlockError('IO', `${text}: a key of tls-psk-file goes without certificates`);
  }
  const identity = uri.username === '' ? undefined : decoded(text, uri.username);
  return { certificates, pskFile, identity, fingerprint, hostname: hostname ?? host };
}

/** The URI of an export. */
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
