import { join } from 'node:path/posix';
import { readSecretFrom } from '../../sys/terminal/terminal.ts';

const CREDENTIAL = 'holdfast-passphrase';
const NEWLINE = 10;
const RETURN = 13;

/** The first line of a file or descriptor: editors add a newline that is not part of the passphrase. */
export function readPassphrase(from: string | number): Uint8Array {
  const bytes = readSecretFrom(from);
  const newline = bytes.indexOf(NEWLINE);
  const line = newline < 0 ? bytes : bytes.subarray(0, newline);
  return line.at(-1) === RETURN ? line.subarray(0, -1) : line;
}

/** The path of the unit's systemd credential. */
export function passphraseCredential(credentials: string): string {
  return join(credentials, CREDENTIAL);
}
