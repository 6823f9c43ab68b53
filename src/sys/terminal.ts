import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
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
 * Asks on the terminal itself, so that input and output may be redirected, and echoes nothing. While it waits for an
 * answer Ctrl-C is no signal but a key: `interrupted`.
 */
export function askSecretly(question: string): Uint8Array | 'no terminal' | 'interrupted' {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    return 'no terminal';
  }
  // It makes what it is given not wait for input, and closes it: hence one of its own.
  const terminal = new ReadStream(openSync('/dev/tty', 'r+'));
  terminal.setRawMode(true);
  writeSync(fd, question);
  try {
    return typed(fd);
  } finally {
    terminal.setRawMode(false);
    writeSync(fd, '\n');
    terminal.destroy();
    closeSync(fd);
  }
}

function typed(fd: number): Uint8Array | 'interrupted' {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    const count = readSync(fd, one);
    const byte = count === 0 ? CONTROL_D : one[0]!;
    if (byte === CONTROL_C) return 'interrupted';
    if (ENTERS.includes(byte) || byte === CONTROL_D) return Uint8Array.from(bytes);
    if (BACKSPACES.includes(byte)) bytes.pop();
    else if (bytes.length < LENGTH_MAX) bytes.push(byte);
  }
}
