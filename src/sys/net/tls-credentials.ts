import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { SystemError } from '../base/system-error.ts';
import type { TlsCredentials } from './network.ts';

export type X509Credentials = Extract<TlsCredentials, { kind: 'x509' }>;

/** Paths of the files, for messages. */
export interface X509Names {
  readonly key: string;
  readonly certificate: string;
  readonly authority: string;
}

/**
 * Throws FAILED, naming the file, for credentials with which no client could be served. The administrator gets the
 * reason now; otherwise the first client would fail without one.
 */
export function checkX509(
  { key, certificate, authority }: X509Credentials,
  names: X509Names,
): void {
  const own = certificateIn(certificate, names.certificate);
  const secret = keyIn(key, names.key);
  if (!own.checkPrivateKey(secret)) {
    throw new SystemError('FAILED', `${names.key} is not the key of ${names.certificate}`);
  }
  if (authority) certificateIn(authority, names.authority);
  try {
    createSecureContext({
      key: Buffer.from(key),
      cert: Buffer.from(certificate),
      ...(authority && { ca: Buffer.from(authority) }),
    });
  } catch (cause) {
    const { message } = cause as Error;
    const said = `${names.certificate} and ${names.key} cannot be used: ${message}`;
    throw new SystemError('FAILED', said, { cause });
  }
}

/**
 * Why clients will refuse these (already checked) credentials, if their clocks agree with this one; undefined: they
 * will not. This side alone must not decide it: a machine whose clock is wrong still serves its guests.
 */
export function datesProblem(
  { certificate, authority }: X509Credentials,
  names: X509Names,
  now: Date,
): string | undefined {
  return (
    problemOf(certificateIn(certificate, names.certificate), names.certificate, now) ??
    (authority && problemOf(certificateIn(authority, names.authority), names.authority, now))
  );
}

/**
 * The keys in lines of `identity:hexadecimal key`, as psktool writes them. Throws FAILED, which names the line and
 * quotes nothing of it.
 */
export function parsePsk(path: string, bytes: Uint8Array): Map<string, Uint8Array> {
  const keys = new Map<string, Uint8Array>();
  const lines = Buffer.from(bytes).toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const match = /^([^:]+):((?:[0-9a-fA-F]{2})+)\s*$/.exec(line);
    if (!match) {
      throw new SystemError(
        'FAILED',
        `${path}: line ${index + 1} is not "identity:hexadecimal key"`,
      );
    }
    keys.set(match[1]!, Buffer.from(match[2]!, 'hex'));
  }
  if (keys.size === 0) throw new SystemError('FAILED', `${path} has no key`);
  return keys;
}

/** Throws FAILED, naming the file. */
export function certificateIn(bytes: Uint8Array, name: string): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch (cause) {
    throw new SystemError('FAILED', `${name} is not a certificate in PEM`, { cause });
  }
}

function keyIn(bytes: Uint8Array, name: string): KeyObject {
  try {
    return createPrivateKey(Buffer.from(bytes));
  } catch (cause) {
    // Without the cause's message, which may quote the contents.
    throw new SystemError('FAILED', `${name} is not a private key in PEM without a passphrase`, {
      cause,
    });
  }
}

function problemOf(certificate: X509Certificate, name: string, now: Date): string | undefined {
  const [from, to] = [new Date(certificate.validFrom), new Date(certificate.validTo)];
  if (now > to) return `${name} expired on ${day(to)}: replace it`;
  if (now >= from) return undefined;
  return `${name} is valid from ${day(from)} on, and it is ${day(now)} here: is the clock right?`;
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
