import { decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';

// Records that the service runs a session, after every start too, until it is asked to stop it. Grammar: session.md.

export interface ServedRecord {
  /** Where the credentials of its TLS server lie; undefined: without TLS. */
  readonly tls: ServedTls | undefined;
}

export type ServedTls =
  | { readonly kind: 'x509'; readonly directory: string }
  | { readonly kind: 'psk'; readonly path: string };

const FORMAT = 'holdfast-served';
const VERSION = 1;

export function encodeServed(served: ServedRecord): Uint8Array {
  return encodeSummed({ format: FORMAT, version: VERSION, ...served });
}

/** Throws FormatError. */
export function decodeServed(bytes: Uint8Array): ServedRecord {
  return decodeSummed(bytes, servedOf);
}

function servedOf(fields: Fields): ServedRecord {
  fields.expect(FORMAT, VERSION);
  if (!fields.has('tls')) return { tls: undefined };
  const tls = fields.object('tls');
  const kind = tls.oneOf('kind', ['x509', 'psk']);
  return {
    tls:
      kind === 'x509'
        ? { kind, directory: tls.text('directory') }
        : { kind, path: tls.text('path') },
  };
}
