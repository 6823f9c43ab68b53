import { join } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import type { TlsServer } from '../../sys/net/tls-client.ts';
import { certificateIn, checkX509, parsePsk } from '../../sys/net/tls-credentials.ts';
import { BlockError } from '../block-error.ts';
import type { NbdTls } from './nbd-uri.ts';

const FILE_LENGTH_MAX = 1024 * 1024;

type Files = Pick<FileSystem, 'readFile' | 'stat'>;

/**
 * Reads the files that a URI names for TLS. `uri` is for messages, which quote nothing of a file. Rejects NOT_FOUND,
 * DENIED, FAILED for a file that is not what it should be, IO for what the URI lacks.
 */
export async function tlsServer(files: Files, uri: string, tls: NbdTls): Promise<TlsServer> {
  const { certificates, pskFile, fingerprint, hostname } = tls;
  if (pskFile !== undefined) return psk(files, uri, pskFile, tls.identity);
  const { authority, own } = await x509(files, certificates, fingerprint !== undefined);
  // Each site in the world has a certificate of the authorities that are known everywhere.
  if (hostname === undefined && authority === undefined && fingerprint === undefined) {
    throw new BlockError(
      'IO',
      `${uri} does not say which server is meant: add tls-certificates=DIR (with ca-cert.pem), ` +
        'tls-fingerprint=SHA256, tls-hostname=NAME or tls-psk-file=FILE',
    );
  }
  return { kind: 'x509', name: hostname, authority, fingerprint, own };
}

async function psk(
  files: Files,
  uri: string,
  path: string,
  named: string | undefined,
): Promise<TlsServer> {
  const keys = parsePsk(path, await files.readFile(path, FILE_LENGTH_MAX));
  const [only] = keys.size === 1 ? keys.keys() : [];
  const identity = named ?? only;
  if (identity === undefined) {
    throw new BlockError(
      'IO',
      `${path} has several keys: name one, as ID@ before the host of ${uri}`,
    );
  }
  const key = keys.get(identity);
  if (!key) throw new BlockError('IO', `${path} has no key of "${identity}"`);
  return { kind: 'psk', identity, key };
}

/** The files' names are those of libnbd and QEMU. */
async function x509(files: Files, directory: string | undefined, isPinned: boolean) {
  if (directory === undefined) return { authority: undefined, own: undefined };
  const names = {
    authority: join(directory, 'ca-cert.pem'),
    certificate: join(directory, 'client-cert.pem'),
    key: join(directory, 'client-key.pem'),
  };
  const read = (path: string) => files.readFile(path, FILE_LENGTH_MAX);
  const has = async (path: string): Promise<boolean> => (await files.stat(path)) !== undefined;
  const authority =
    isPinned && !(await has(names.authority)) ? undefined : await read(names.authority);
  if (authority) certificateIn(authority, names.authority);
  if (!(await has(names.certificate)) && !(await has(names.key))) {
    return { authority, own: undefined };
  }
  const own = { certificate: await read(names.certificate), key: await read(names.key) };
  checkX509({ kind: 'x509', ...own, authority }, names);
  return { authority, own };
}
