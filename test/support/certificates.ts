import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { program } from './programs.ts';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Makes both files: of an authority, or of a server with `names` (`IP:127.0.0.1`, `DNS:localhost`). By openssl. */
export async function selfSigned(
  { certificate, key }: CertificateFiles,
  subject: string,
  ...names: readonly string[]
): Promise<void> {
  await program(
    'openssl',
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', `/CN=${subject}`, '-keyout', key, '-out', certificate],
    ...(names.length > 0 ? ['-addext', `subjectAltName=${names.join(',')}`] : []),
  );
}

/**
 * A directory as QEMU and libnbd have it: an authority (`ca-cert.pem`), what it vouches for of a server with `names`
 * (`server-*.pem`) and of a client (`client-*.pem`).
 */
export async function certificateDirectory(
  directory: string,
  ...names: readonly string[]
): Promise<void> {
  const authority = {
    certificate: join(directory, 'ca-cert.pem'),
    key: join(directory, 'ca-key.pem'),
  };
  mkdirSync(directory, { recursive: true });
  await selfSigned(authority, 'an authority');
  // Without these QEMU looks for a prime of its own first, for seconds.
  const group = ['-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048'];
  await program(
    'openssl',
    'genpkey',
    '-genparam',
    ...group,
    '-out',
    join(directory, 'dh-params.pem'),
  );
  for (const kind of ['server', 'client'] as const) {
    const [key, request, extensions] = ['key.pem', 'request.pem', 'extensions'].map((it) =>
      join(directory, `${kind}-${it}`),
    ) as [string, string, string];
    const alternatives = kind === 'server' ? `subjectAltName=${names.join(',')}\n` : '';
    writeFileSync(
      extensions,
      `basicConstraints=CA:FALSE\nextendedKeyUsage=${kind}Auth\n${alternatives}`,
    );
    await program(
      'openssl',
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=a ${kind}`, '-keyout', key, '-out', request],
    );
    await program(
      'openssl',
      ...['x509', '-req', '-days', '2', '-in', request, '-extfile', extensions],
      ...['-CA', authority.certificate, '-CAkey', authority.key],
      ...['-out', join(directory, `${kind}-cert.pem`)],
    );
  }
}
