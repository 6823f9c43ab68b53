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
