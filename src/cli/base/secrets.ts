import type { GivenSecret, SecretSource } from '../../engine/base/engine.ts';
import { passphraseCredential, readPassphrase } from '../../engine/secrets/passphrase-file.ts';
import { askSecretly, readSecretFrom } from '../../sys/terminal/terminal.ts';
import { Interrupted } from './interrupted.ts';
import { UsageError } from './command-errors.ts';

/*
 * Sources of secrets: an option that names a file or a descriptor, a systemd credential, or a person. Never an
 * argument or the environment, which other processes can read.
 */
export interface SecretOptions {
  readonly passphraseFile: string | undefined;
  /** See `descriptorOnce`. */
  readonly passphraseFd: (() => Uint8Array) | undefined;
  readonly recoveryKeyFile: string | undefined;
  readonly passkeyFile: string | undefined;
  /** See `descriptorOnce`. */
  readonly passkeyFd: (() => Uint8Array) | undefined;
  readonly newPasskeyFile: string | undefined;
  readonly newPassphraseFile: string | undefined;
  /** The directory in which systemd puts credentials. */
  readonly credentials: string | undefined;
}

export function isSecretGiven(options: SecretOptions): boolean {
  const { passphraseFile, passphraseFd, recoveryKeyFile, credentials } = options;
  const given = [passphraseFile, passphraseFd, recoveryKeyFile, credentials];
  return given.some((it) => it !== undefined);
}

/** A credential may belong to any set; the other options apply to the sets that the command line names. */
export function secretSource(options: SecretOptions): SecretSource {
  const explicit = { ...options, credentials: undefined };
  return async (set, when) => {
    if (when === 'needed') return findSecret(set, options);
    return isSecretGiven(explicit) ? findSecret(set, explicit) : undefined;
  };
}

/** The secret of an existing lock. Throws UsageError if there is no terminal to ask. */
export function findSecret(set: string, options: SecretOptions): GivenSecret {
  const { recoveryKeyFile } = options;
  if (recoveryKeyFile !== undefined) {
    return { kind: 'recovery-key', text: keyIn(recoveryKeyFile) };
  }
  const passphrase =
    givenPassphrase(options) ??
    ask(
      `Passphrase of set "${set}": `,
      `set "${set}" is encrypted, and its passphrase is missing`,
      PASSPHRASE_OPTIONS,
    );
  return { kind: 'passphrase', passphrase };
}

/** The key in a file: of a printed text, only the lines that may belong to the key. */
export function keyIn(file: string): string {
  const lines = Buffer.from(readSecretFrom(file)).toString('utf8').split('\n');
  return lines.filter((line) => /^[\s\dA-Z-]*$/i.test(line)).join('\n');
}

/** The secret for a new lock, or a new passkey. */
export function newSecret(options: SecretOptions, what: 'new' | 'new passkey'): GivenSecret {
  const chosen = what === 'new' ? choosePassphrase(options) : newPasskey(options);
  return { kind: 'passphrase', passphrase: chosen };
}

/** A person types it twice. */
function choosePassphrase(options: SecretOptions): Uint8Array {
  const given = givenPassphrase(options);
  if (given) return given;
  const missing = 'the new passphrase, or password, is missing';
  return twice('New passphrase: ', missing, PASSPHRASE_OPTIONS);
}

function twice(question: string, missing: string, options: string): Uint8Array {
  const first = ask(question, missing, options);
  const second = ask('Once more: ', missing, options);
  if (first.length === 0) throw new UsageError('nothing was typed');
  if (Buffer.compare(first, second) !== 0) throw new UsageError('the two do not match');
  return first;
}

/** The passkey that the command line names; undefined: none. */
export function givenPasskey({ passkeyFile, passkeyFd }: SecretOptions): string | undefined {
  const given = passkeyFile === undefined ? passkeyFd?.() : firstLine(passkeyFile);
  return given && Buffer.from(given).toString('utf8');
}

/** The passkey of a set that has one. Throws UsageError if there is no terminal to ask. */
export function findPasskey(set: string, options: SecretOptions): string {
  const given = givenPasskey(options);
  if (given !== undefined) return given;
  const missing = `set "${set}" has a passkey, which is missing`;
  const how = '--passkey-file or --passkey-fd';
  return Buffer.from(ask(`Passkey of set "${set}": `, missing, how)).toString('utf8');
}

/** A person types it twice. */
function newPasskey({ newPasskeyFile }: SecretOptions): Uint8Array {
  if (newPasskeyFile !== undefined) return firstLine(newPasskeyFile);
  const missing = 'the new passkey is missing';
  return twice('New passkey: ', missing, '--new-passkey-file');
}

/** A further passphrase of a set; a person types it twice. */
export function newPassphrase({ newPassphraseFile }: SecretOptions): Uint8Array {
  if (newPassphraseFile !== undefined) return firstLine(newPassphraseFile);
  return twice('New passphrase: ', 'the new passphrase is missing', '--new-passphrase-file');
}

/** Undefined: no key was given, and the volume stays locked. */
export function findVolumeKey(volume: string, file: string | undefined): Uint8Array | undefined {
  if (file !== undefined) return firstLine(file);
  const key = typed(`Key of volume ${volume}, empty to leave it locked: `);
  return key === undefined || key.length === 0 ? undefined : key;
}

/** Reads a descriptor once: a pipe can be read only once, and a command may need its passphrase for several sets. */
export function descriptorOnce(given: string | undefined): (() => Uint8Array) | undefined {
  if (given === undefined) return undefined;
  const fd = Number(given);
  if (!Number.isInteger(fd) || fd < 0) throw new UsageError(`not a descriptor: ${given}`);
  let known: Uint8Array | undefined;
  return () => (known ??= firstLine(fd));
}

function givenPassphrase(options: SecretOptions): Uint8Array | undefined {
  const { passphraseFile, passphraseFd, credentials } = options;
  if (passphraseFile !== undefined) return firstLine(passphraseFile);
  if (passphraseFd !== undefined) return passphraseFd();
  return credentials === undefined ? undefined : firstLine(passphraseCredential(credentials));
}

function firstLine(from: string | number): Uint8Array {
  const secret = readPassphrase(from);
  if (secret.length > 0) return secret;
  throw new UsageError(`the first line of ${from} is empty`);
}

const PASSPHRASE_OPTIONS = '--passphrase-file or --passphrase-fd';

function ask(question: string, missing: string, options: string): Uint8Array {
  const answer = typed(question);
  if (answer) return answer;
  throw new UsageError(`${missing}: there is no terminal to ask for it, so give ${options}`);
}

/** Undefined: there is no terminal. Throws Interrupted. */
function typed(question: string): Uint8Array | undefined {
  const answer = askSecretly(question);
  if (answer === 'interrupted') throw new Interrupted('interrupted');
  return answer === 'no terminal' ? undefined : answer;
}
