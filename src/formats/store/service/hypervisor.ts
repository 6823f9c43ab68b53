import { createHash } from 'node:crypto';
import { cutText, decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';
import { nameIn } from '../base/names.ts';
import { HYPERVISOR_KINDS, type HypervisorKind } from '../catalog/machine.ts';

// Hypervisors as this box knows them. Grammar: hypervisor.md.

export interface HypervisorRecord {
  readonly name: string;
  readonly kind: HypervisorKind;
  /** As its own programs write it, without a password. */
  readonly uri: string;
  /** By what it is recognized; undefined: it is this host. */
  readonly identity: HypervisorIdentity | undefined;
  /** A directory there in which sockets of backups are made; undefined: the usual one. */
  readonly sockets: string | undefined;
  /** A directory there for what guests overwrite during a backup; undefined: beside each disk. */
  readonly scratch: string | undefined;
  /** ISO 8601, in UTC. */
  readonly added: string;
  /** The last time that it answered. */
  readonly contact: HypervisorContact | undefined;
  /** Why it could not be used the last time; undefined: it could. */
  readonly failure: HypervisorFailure | undefined;
}

/**
 * `ssh-key`: the host key of its SSH server; `certificate`: the SHA-256 fingerprint of that of its TLS server, as
 * openssl writes it; `authority`: the certificate, in PEM, of the authority that vouches for its TLS server.
 */
export type HypervisorIdentity =
  | { readonly kind: 'ssh-key'; readonly type: string; readonly key: string }
  | { readonly kind: 'certificate'; readonly fingerprint: string }
  | { readonly kind: 'authority'; readonly certificate: string };

export interface HypervisorContact {
  readonly time: string;
  readonly product: string;
  readonly host: string;
}

export interface HypervisorFailure {
  readonly time: string;
  readonly message: string;
}

const FORMAT = 'holdfast-hypervisor';
const VERSION = 1;

/** What the hypervisor said of itself is cut off at what a reader would take of it. */
export function encodeHypervisor(record: HypervisorRecord): Uint8Array {
  const { contact, failure } = record;
  const said = {
    contact: contact && {
      ...contact,
      product: cutText(contact.product),
      host: cutText(contact.host),
    },
    failure: failure && { ...failure, message: cutText(failure.message) },
  };
  return encodeSummed({ format: FORMAT, version: VERSION, ...record, ...said });
}

/** Throws FormatError. */
export function decodeHypervisor(bytes: Uint8Array): HypervisorRecord {
  return decodeSummed(bytes, recordOf);
}

function recordOf(fields: Fields): HypervisorRecord {
  fields.expect(FORMAT, VERSION);
  const part = <T>(name: string, read: (inner: Fields) => T): T | undefined =>
    fields.has(name) ? read(fields.object(name)) : undefined;
  return {
    name: nameIn(fields, 'name'),
    kind: fields.oneOf('kind', HYPERVISOR_KINDS),
    uri: fields.text('uri'),
    identity: part('identity', identityOf),
    sockets: fields.optionalText('sockets'),
    scratch: fields.optionalText('scratch'),
    added: fields.text('added'),
    contact: part('contact', (it) => ({
      time: it.text('time'),
      product: it.text('product'),
      host: it.text('host'),
    })),
    failure: part('failure', (it) => ({ time: it.text('time'), message: it.text('message') })),
  };
}

function identityOf(fields: Fields): HypervisorIdentity {
  const kind = fields.oneOf('kind', ['ssh-key', 'certificate', 'authority']);
  if (kind === 'certificate') return { kind, fingerprint: fields.text('fingerprint') };
  if (kind === 'authority') return { kind, certificate: fields.text('certificate') };
  return { kind, type: fields.text('type'), key: fields.text('key') };
}

/** "SHA256:...", as OpenSSH shows it; for TLS "AB:CD:...", as openssl does. */
export function fingerprintOf(identity: HypervisorIdentity): string {
  if (identity.kind === 'ssh-key') return keyFingerprint(identity.key);
  if (identity.kind === 'certificate') return identity.fingerprint;
  const [, body = ''] =
    /-----BEGIN CERTIFICATE-----([^-]+)-----END/.exec(identity.certificate) ?? [];
  const digest = createHash('sha256').update(Buffer.from(body, 'base64')).digest('hex');
  return digest.toUpperCase().match(/../g)!.join(':');
}

/** `key`: in base64, as OpenSSH writes it. */
export function keyFingerprint(key: string): string {
  const digest = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64');
  return `SHA256:${digest.replace(/=+$/, '')}`;
}
