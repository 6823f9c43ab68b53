import { isAbsolute } from 'node:path/posix';
import type {
  HypervisorIdentity,
  HypervisorRecord,
} from '../../formats/store/service/hypervisor.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { requirePrivate } from '../../sys/files/private-files.ts';
import type { X509Server } from '../../sys/net/tls-client.ts';
import { certificateIn, checkX509 } from '../../sys/net/tls-credentials.ts';

/* What TLS needs to reach a hypervisor: our key and certificate, and by what its server is recognized. */

/** libvirtd's. */
export const TLS_PORT = 16_514;
const LENGTH_MAX = 64 * 1024;

/** Paths that a person gives, on this host. */
export interface TlsPaths {
  readonly ca: string | undefined;
  readonly clientCertificate: string | undefined;
  readonly clientKey: string | undefined;
}

type Files = Pick<FileSystem, 'readFile'>;

/**
 * Our private key and the certificate for it, as they are kept: in one file. Undefined: neither is given. Rejects
 * INVALID if one is missing, DENIED for a key that others may read, FAILED for files that are something else.
 */
export async function ownPair(
  files: Files,
  { clientCertificate, clientKey }: TlsPaths,
): Promise<string | undefined> {
  if (clientCertificate === undefined && clientKey === undefined) return undefined;
  if (clientCertificate === undefined || clientKey === undefined) {
    const message = 'a certificate needs its key: give both --client-certificate and --client-key';
    throw new SystemError('INVALID', message);
  }
  const certificate = await read(files, clientCertificate);
  requirePrivate(clientKey);
  const key = await read(files, clientKey);
  const names = { key: clientKey, certificate: clientCertificate, authority: '' };
  checkX509({ kind: 'x509', key, certificate, authority: undefined }, names);
  return [key, certificate].map((it) => blocksOf(it).join('\n')).join('\n');
}

/** Rejects FAILED for a file that is something else. */
export async function authorityIn(files: Files, path: string): Promise<HypervisorIdentity> {
  const certificate = certificateIn(await read(files, path), path).toString();
  return { kind: 'authority', certificate };
}

async function read(files: Files, path: string): Promise<Uint8Array> {
  if (!isAbsolute(path)) throw new SystemError('INVALID', `${path}: an absolute path is needed`);
  return files.readFile(path, LENGTH_MAX);
}

/** What stands between is for people. */
function blocksOf(pem: Uint8Array): readonly string[] {
  const text = Buffer.from(pem).toString('latin1');
  return text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [];
}

/** `own`: as `ownPair` made it. Throws FAILED for a file that is something else. */
export function tlsServerOf(
  { name: hypervisor, identity }: HypervisorRecord,
  { host, own }: { readonly host: string; readonly own: Uint8Array },
): X509Server {
  const blocks = blocksOf(own);
  const isKey = (block: string): boolean => block.includes('PRIVATE KEY-----');
  const pem = (some: readonly string[]): Uint8Array => Buffer.from(`${some.join('\n')}\n`);
  const pair = {
    key: pem(blocks.filter(isKey)),
    certificate: pem(blocks.filter((it) => !isKey(it))),
  };
  const authority = identity?.kind === 'authority' ? Buffer.from(identity.certificate) : undefined;
  const file = `our key for "${hypervisor}"`;
  const names = {
    key: file,
    certificate: `the certificate beside ${file}`,
    authority: 'its authority',
  };
  checkX509({ kind: 'x509', ...pair, authority }, names);
  return {
    ...{ kind: 'x509', own: pair, authority },
    name: authority && host,
    fingerprint: identity?.kind === 'certificate' ? identity.fingerprint : undefined,
  };
}
