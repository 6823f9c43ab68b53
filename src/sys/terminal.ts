import { openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { systemError } from './system-error.ts';

const LENGTH_MAX = 64 * 1024;
const CONTROL_C = 3;
const CONTROL_D = 4;
const BACKSPACES: readonly number[] = [8, 127];
const ENTERS: readonly number[] = [10, 13];

/** The beginning of a file, or all that a descriptor has to give. */
export function readSecretFrom(from: string | number): Uint8Array {
  try {
    return readFileSync(from).subarray(0, LENGTH_MAX);
  } catch (cause) {
    throw systemError(cause, `read the secret in ${from}`);
  }
}

/**
 * Asks on the terminal itself, so that input and output may be redirected, and echoes nothing. Undefined:
 * there is no terminal, or Ctrl-C was the answer.
 */
export function askSecretly(question: string): Uint8Array | undefined {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    return undefined;
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

function typed(fd: number): Uint8Array | undefined {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    const count = readSync(fd, one);
    const byte = count === 0 ? CONTROL_D : one[0]!;
    if (byte === CONTROL_C) return undefined;
    if (ENTERS.includes(byte) || byte === CONTROL_D) return Uint8Array.from(bytes);
    if (BACKSPACES.includes(byte)) bytes.pop();
    else if (bytes.length < LENGTH_MAX) bytes.push(byte);
  }
}
