import { join } from 'node:path/posix';
import { boxDirectory } from '../box/box-directory.ts';
import { CatalogError } from '../catalog/catalog-error.ts';
import type { SecretSource } from '../engine/base/engine.ts';
import { passphraseCredential, readPassphrase } from '../engine/secrets/passphrase-file.ts';
import { TLS_KEY } from '../engine/secrets/tls-files.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { Settings } from './settings.ts';

/**
 * The passphrases that the service finds without asking: in files that its settings name, or as its systemd
 * credential. Read on demand and kept nowhere. Rejects WRONG_KEY if there is none.
 */
export function keyring(settings: () => Settings, credentials: string | undefined): SecretSource {
  return async (set, when) => {
    const named = settings().passphraseFiles[set];
    // The credential may belong to any set; a file that the settings name belongs to this one.
    if (when === 'if given' && named === undefined) return undefined;
    const file =
      named ?? (credentials === undefined ? undefined : passphraseCredential(credentials));
    const passphrase = file === undefined ? undefined : read(file, named !== undefined);
    if (passphrase === undefined || passphrase.length === 0) {
      throw new CatalogError('WRONG_KEY', `the service has no passphrase for set "${set}"`);
    }
    return { kind: 'passphrase', passphrase };
  };
}

/** Files and directories that clients of the service must not read through it. */
export function secretFiles(settings: Settings, credentials: string | undefined): string[] {
  const { listen, nbd } = settings;
  const files = lineFiles(settings);
  files.push(boxDirectory(process.env));
  if (credentials !== undefined) files.push(credentials);
  if (listen) files.push(listen.key, ...(listen.tokens === undefined ? [] : [listen.tokens]));
  if (nbd.tls?.kind === 'psk') files.push(nbd.tls.path);
  // The key may be a link to the file that is renewed.
  if (nbd.tls?.kind === 'x509') {
    files.push(nbd.tls.directory, join(nbd.tls.directory, TLS_KEY));
  }
  return files;
}

/** Files whose first lines are secrets. */
function lineFiles({ passphraseFiles, notify: { webhookSecretFile } }: Settings): string[] {
  return [...Object.values(passphraseFiles), ...(webhookSecretFile ? [webhookSecretFile] : [])];
}

/** All secrets by value, to remove them from data that leaves the host. */
export function knownSecrets(settings: Settings, credentials: string | undefined): string[] {
  const files = lineFiles(settings);
  const { webhook } = settings.notify;
  if (credentials !== undefined) files.push(passphraseCredential(credentials));
  const inFiles = files.flatMap((file) => {
    try {
      return Buffer.from(readPassphrase(file)).toString('utf8');
    } catch (cause) {
      if (cause instanceof SystemError) return [];
      throw cause;
    }
  });
  // Knowing its address suffices to post there.
  return webhook === undefined ? inFiles : [...inFiles, webhook];
}

function read(file: string, mustExist: boolean): Uint8Array | undefined {
  try {
    return readPassphrase(file);
  } catch (cause) {
    // A unit may have other credentials instead.
    if (!mustExist && cause instanceof SystemError && cause.code === 'NOT_FOUND') return undefined;
    throw cause;
  }
}
