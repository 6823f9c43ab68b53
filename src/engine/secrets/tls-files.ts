import { join } from 'node:path/posix';
import type { TlsCredentials } from '../../sys/net/network.ts';
import {
  checkX509,
  datesProblem,
  parsePsk,
  type X509Credentials,
} from '../../sys/net/tls-credentials.ts';
import type { World } from '../../sys/world.ts';

/** The files of credentials, as QEMU and libnbd expect them. */
export type TlsFiles =
  /** A directory with server-cert.pem, server-key.pem and, to demand clients' certificates, ca-cert.pem. */
  | { readonly kind: 'x509'; readonly directory: string }
  /** Lines of `identity:hexadecimal key`, as psktool writes them. */
  | { readonly kind: 'psk'; readonly path: string };

/** The key's name in the directory of the first kind. */
export const TLS_KEY = 'server-key.pem';

const FILE_LENGTH_MAX = 1024 * 1024;

/**
 * Rejects FAILED, naming the file, if no client could be served with them. `onDates` gets the reason why clients will
 * refuse certificates that are not valid now.
 */
export async function readTlsFiles(
  { files, clock }: Pick<World, 'files' | 'clock'>,
  from: TlsFiles,
  onDates: (problem: string) => void,
): Promise<TlsCredentials> {
  if (from.kind === 'psk') {
    const keys = parsePsk(from.path, await files.readFile(from.path, FILE_LENGTH_MAX));
    return { kind: 'psk', keyOf: (identity) => keys.get(identity) };
  }
  const read = (path: string) => files.readFile(path, FILE_LENGTH_MAX);
  const names = {
    key: join(from.directory, TLS_KEY),
    certificate: join(from.directory, 'server-cert.pem'),
    authority: join(from.directory, 'ca-cert.pem'),
  };
  const credentials: X509Credentials = {
    kind: 'x509',
    key: await read(names.key),
    certificate: await read(names.certificate),
    authority: (await files.stat(names.authority)) ? await read(names.authority) : undefined,
  };
  checkX509(credentials, names);
  const problem = datesProblem(credentials, names, clock.now());
  if (problem !== undefined) onDates(problem);
  return credentials;
}
