import { existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path/posix';
import { ReadStream } from 'node:tty';
import type { GivenSecret } from '../control/house.ts';
import { systemError } from '../sys/system-error.ts';
import { UsageError } from './command.ts';

/*
 * Where a secret comes from: an option that names a file or a descriptor, a systemd credential, or a
 * person. Never an argument or the environment, which other processes can read.
 */
export interface SecretOptions {
  readonly passphraseFile: string | undefined;
  readonly passphraseFd: string | undefined;
  readonly recoveryKeyFile: string | undefined;
}

const CREDENTIAL = 'holdfast-passphrase';
const LENGTH_MAX = 64 * 1024;
const CONTROL_C = 3;
const CONTROL_D = 4;
const BACKSPACES: readonly number[] = [8, 127];
const ENTERS: readonly number[] = [10, 13];

/** For what is locked already. Rejects UsageError where nobody can be asked. */
export async function findSecret(set: string, options: SecretOptions): Promise<GivenSecret> {
  const { recoveryKeyFile } = options;
  if (recoveryKeyFile !== undefined) {
    return {
      kind: 'recovery-key',
      text: Buffer.from(readSecret(recoveryKeyFile)).toString('utf8'),
    };
  }
  const given = givenPassphrase(options);
  if (given) return { kind: 'passphrase', passphrase: given };
  return { kind: 'passphrase', passphrase: await ask(`Passphrase of set "${set}": `) };
}

export function isSecretGiven({
  passphraseFile,
  passphraseFd,
  recoveryKeyFile,
}: SecretOptions): boolean {
  const directory = process.env['CREDENTIALS_DIRECTORY'];
  return (
    [passphraseFile, passphraseFd, recoveryKeyFile].some((it) => it !== undefined) ||
    (directory !== undefined && existsSync(join(directory, CREDENTIAL)))
  );
}

/** For a new lock: a person types it twice. */
export async function choosePassphrase(options: SecretOptions): Promise<Uint8Array> {
  const given = givenPassphrase(options);
  if (given) return given;
  const first = await ask('New passphrase: ');
  const second = await ask('Once more: ');
  if (Buffer.compare(first, second) !== 0) throw new UsageError('those are two passphrases');
  return first;
}

function givenPassphrase({ passphraseFile, passphraseFd }: SecretOptions): Uint8Array | undefined {
  if (passphraseFile !== undefined) return notEmpty(readSecret(passphraseFile), passphraseFile);
  if (passphraseFd !== undefined) {
    const fd = Number(passphraseFd);
    if (!Number.isInteger(fd) || fd < 0) throw new UsageError(`no descriptor: ${passphraseFd}`);
    return notEmpty(readSecret(fd), `descriptor ${fd}`);
  }
  const directory = process.env['CREDENTIALS_DIRECTORY'];
  if (directory === undefined) return undefined;
  const path = join(directory, CREDENTIAL);
  return existsSync(path) ? notEmpty(readSecret(path), path) : undefined;
}

/** Without the newline that editors put at the end. */
function readSecret(from: string | number): Uint8Array {
  const bytes = readFrom(from);
  const end = bytes.at(-1) === 10 ? bytes.length - (bytes.at(-2) === 13 ? 2 : 1) : bytes.length;
  return bytes.subarray(0, Math.min(end, LENGTH_MAX));
}

function readFrom(from: string | number): Buffer {
  try {
    return readFileSync(from);
  } catch (cause) {
    throw systemError(cause, `read the secret in ${from}`);
  }
}

function notEmpty(secret: Uint8Array, where: string): Uint8Array {
  if (secret.length > 0) return secret;
  throw new UsageError(`the passphrase in ${where} is empty`);
}

/** On the terminal itself, so that input and output may be redirected. Nothing is echoed. */
async function ask(question: string): Promise<Uint8Array> {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    throw new UsageError(
      'the set is encrypted and nobody can be asked: use --passphrase-file or --passphrase-fd',
    );
  }
  const terminal = new ReadStream(fd);
  terminal.setRawMode(true);
  writeSync(fd, question);
  try {
    return typed(fd);
  } finally {
    terminal.setRawMode(false);
    writeSync(fd, '\n');
    terminal.destroy();
  }
}

function typed(fd: number): Uint8Array {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    const count = readSync(fd, one);
    const byte = count === 0 ? CONTROL_D : one[0]!;
    if (byte === CONTROL_C) throw new UsageError('interrupted');
    if (ENTERS.includes(byte) || byte === CONTROL_D) return Uint8Array.from(bytes);
    if (BACKSPACES.includes(byte)) bytes.pop();
    else if (bytes.length < LENGTH_MAX) bytes.push(byte);
  }
}
