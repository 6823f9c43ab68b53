import { isIP, type Socket } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { SystemError, systemError } from '../base/system-error.ts';

/** How a server proves over TLS who it is, and this side to the server. */
export type TlsServer =
  | X509Server
  | { readonly kind: 'psk'; readonly identity: string; readonly key: Uint8Array };

export interface X509Server {
  readonly kind: 'x509';
  /** The host name or address that the certificate must have; undefined: any name. */
  readonly name: string | undefined;
  /** Authorities in PEM that vouch for the certificate; undefined: those that Node knows. */
  readonly authority: Uint8Array | undefined;
  /**
   * SHA-256 of the certificate, in hexadecimal digits. Without `authority` it alone decides, also
   * for a certificate that is self-signed or has expired.
   */
  readonly fingerprint: string | undefined;
  /** This side's own, in PEM, for servers that demand one. */
  readonly own: OwnCertificate | undefined;
}

export interface OwnCertificate {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
}

/** What Node says of a certificate (`authorizationError`), in words. */
const REASONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its authority is not one that is trusted here',
  UNABLE_TO_GET_ISSUER_CERT: 'its authority is not one that is trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its authority is not one that is trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its authority is not one that is trusted here',
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet: is the clock right?',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for another name',
};

/**
 * Begins TLS on a connected socket, which it takes over, as the side that connected. Rejects DENIED for a server that
 * is not the one meant, UNREACHABLE for one that says nothing for `silenceMs`, IO for the rest; then it is destroyed.
 */
export async function secureAsClient(
  plain: Socket,
  server: TlsServer,
  silenceMs: number | undefined,
): Promise<TLSSocket> {
  const next = connect({ ...optionsOf(server), socket: plain });
  try {
    await new Promise<void>((resolve, reject) => {
      next.once('secureConnect', resolve);
      next.once('error', (cause) => reject(systemError(cause, 'begin TLS')));
      next.once('close', () => reject(new SystemError('UNREACHABLE', LEFT)));
      next.setTimeout(silenceMs ?? 0, () => reject(new SystemError('UNREACHABLE', SILENT)));
    });
    if (server.kind === 'x509') requireTrusted(next, server);
  } catch (cause) {
    next.on('error', () => {});
    next.destroy();
    throw cause;
  }
  next.setTimeout(0);
  return next;
}

/** Both ends prove that they have the key; a peer that learns it later cannot read what was recorded. */
const PSK_CIPHERS = 'kECDHEPSK:kDHEPSK';

function optionsOf(server: TlsServer): ConnectionOptions {
  if (server.kind === 'psk') {
    const { identity, key } = server;
    return {
      // With TLS 1.3 a server may take a certificate instead of the key.
      ...{ ciphers: PSK_CIPHERS, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
      pskCallback: () => ({ identity, psk: key }),
      checkServerIdentity: () => undefined,
    };
  }
  const { name, authority, own } = server;
  return {
    minVersion: 'TLSv1.2',
    // `requireTrusted` decides instead, before a byte is sent: it knows of fingerprints, and says why.
    rejectUnauthorized: false,
    ...(name === undefined ? { checkServerIdentity: () => undefined } : { host: name }),
    // RFC 6066, section 3: addresses are no names of servers.
    ...(name !== undefined && isIP(name) === 0 && { servername: name }),
    ...(authority && { ca: Buffer.from(authority) }),
    ...(own && { cert: Buffer.from(own.certificate), key: Buffer.from(own.key) }),
  };
}

/**
 * The certificate that a server shows, which proves nothing: its SHA-256 fingerprint, as openssl writes it. Rejects
 * UNREACHABLE, IO, or with the signal's reason.
 */
export async function shownFingerprint(
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const socket = connect({ ...optionsOf(ANY_SERVER), host, port });
  const leave = (): void => void socket.destroy(new SystemError('UNREACHABLE', 'it was canceled'));
  signal.addEventListener('abort', leave, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', (cause) =>
        reject(systemError(cause, `connect to ${host} port ${port}`)),
      );
      socket.once('close', () => reject(new SystemError('UNREACHABLE', LEFT)));
      socket.setTimeout(SHOW_MS, () => reject(new SystemError('UNREACHABLE', SILENT)));
    });
    const found = socket.getPeerX509Certificate()?.fingerprint256;
    if (found !== undefined) return found;
    throw new SystemError('IO', `${host} port ${port} shows no certificate`);
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  } finally {
    signal.removeEventListener('abort', leave);
    socket.on('error', () => {});
    socket.destroy();
  }
}

const SHOW_MS = 20_000;
const LEFT = 'the peer left during TLS';
const SILENT = 'the peer does not answer during TLS';

const ANY_SERVER: X509Server = {
  ...{ kind: 'x509', name: undefined, authority: undefined, fingerprint: undefined },
  own: undefined,
};

function requireTrusted(socket: TLSSocket, { name, authority, fingerprint }: X509Server): void {
  const certificate = socket.getPeerX509Certificate();
  const found = certificate?.fingerprint256 ?? 'none';
  if (fingerprint !== undefined && plainHex(found) !== plainHex(fingerprint)) {
    throw new SystemError(
      'DENIED',
      `the server's certificate has the SHA-256 fingerprint ${found}, not ${fingerprint}: if the certificate was ` +
        'renewed, compare the new fingerprint on the server and use that; otherwise this is another server',
    );
  }
  const isPinned = fingerprint !== undefined && authority === undefined;
  if (isPinned || socket.authorized) return;
  const error = String(socket.authorizationError);
  const reason = REASONS[error] ?? error;
  const names = certificate?.subjectAltName ?? 'none';
  const asked = error === 'ERR_TLS_CERT_ALTNAME_INVALID' ? ` than ${name}: ${names}` : '';
  throw new SystemError(
    'DENIED',
    `the server's certificate is not trusted: ${reason}${asked}. Its SHA-256 fingerprint is ${found}: name this one ` +
      'after comparing it on the server, or an authority that vouches for it',
  );
}

function plainHex(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}
