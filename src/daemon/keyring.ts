import { CatalogError } from '../catalog/catalog-error.ts';
import type { SecretSource } from '../control/house.ts';
import { passphraseCredential, readPassphrase } from '../control/passphrase-file.ts';
import { SystemError } from '../sys/system-error.ts';
import type { Settings } from './settings.ts';

/**
 * The passphrases that the service finds without asking: in files that its settings name, or as its systemd
 * credential. Read when they are needed and kept nowhere. Rejects WRONG_KEY where there is none.
 */
export function keyring(settings: () => Settings, credentials: string | undefined): SecretSource {
  return async (set) => {
    const named = settings().passphraseFiles[set];
    const file =
      named ?? (credentials === undefined ? undefined : passphraseCredential(credentials));
    const passphrase = file === undefined ? undefined : read(file, named !== undefined);
    if (passphrase === undefined || passphrase.length === 0) {
      throw new CatalogError('WRONG_KEY', `the service has no passphrase of set "${set}"`);
    }
    return { kind: 'passphrase', passphrase };
  };
}

/** Those that the settings name. */
export function secretFiles({ passphraseFiles, notify }: Settings): string[] {
  const { webhookSecretFile } = notify;
  return [...Object.values(passphraseFiles), ...(webhookSecretFile ? [webhookSecretFile] : [])];
}

/** What there is by value, to be kept out of what is given away. */
export function knownSecrets(settings: Settings, credentials: string | undefined): string[] {
  const files = secretFiles(settings);
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
  // Whoever knows its address may post there.
  return webhook === undefined ? inFiles : [...inFiles, webhook];
}

function read(file: string, mustExist: boolean): Uint8Array | undefined {
  try {
    return readPassphrase(file);
  } catch (cause) {
    // A unit may have other credentials only.
    if (!mustExist && cause instanceof SystemError && cause.code === 'NOT_FOUND') return undefined;
    throw cause;
  }
}
