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
    ask(`Passphrase of set "${set}": `, `set "${set}" is encrypted, and its passphrase is missing`);
  return { kind: 'passphrase', passphrase };
}

/** The key in a file: of a printed text, only the lines that may belong to the key. */
export function keyIn(file: string): string {
  const lines = Buffer.from(readSecretFrom(file)).toString('utf8').split('\n');
  return lines.filter((line) => /^[\s\dA-Z-]*$/i.test(line)).join('\n');
}

/** The secret for a new lock. */
export function newSecret(options: SecretOptions): GivenSecret {
  return { kind: 'passphrase', passphrase: choosePassphrase(options) };
}

/** A person types it twice. */
function choosePassphrase(options: SecretOptions): Uint8Array {
  const given = givenPassphrase(options);
  if (given) return given;
  const missing = 'the new passphrase, or password, is missing';
  const first = ask('New passphrase: ', missing);
  const second = ask('Once more: ', missing);
  if (first.length === 0) throw new UsageError('the passphrase is empty');
  if (Buffer.compare(first, second) !== 0) throw new UsageError('the passphrases do not match');
  return first;
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
  throw new UsageError(`the passphrase in ${from} is empty`);
}

function ask(question: string, missing: string): Uint8Array {
  const answer = typed(question);
  if (answer) return answer;
  throw new UsageError(
    `${missing}: there is no terminal to ask for it, so give --passphrase-file or --passphrase-fd`,
  );
}

/** Undefined: there is no terminal. Throws Interrupted. */
function typed(question: string): Uint8Array | undefined {
  const answer = askSecretly(question);
  if (answer === 'interrupted') throw new Interrupted('interrupted');
  return answer === 'no terminal' ? undefined : answer;
}
