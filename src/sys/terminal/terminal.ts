import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { printable } from '../../lib/printable.ts';
import { SystemError, systemError } from '../base/system-error.ts';

const LENGTH_MAX = 64 * 1024;
const CONTROL_C = 3;
const CONTROL_D = 4;
const BACKSPACES: readonly number[] = [8, 127];
const ENTERS: readonly number[] = [10, 13];

/** Reads the beginning of a file, or all that a descriptor has. */
export function readSecretFrom(from: string | number): Uint8Array {
  try {
    return beginningOf(from, LENGTH_MAX);
  } catch (cause) {
    throw systemError(cause, `read the secret in ${from}`);
  }
}

/** Reads a whole file, which may be a pipe (its size is unknown until it is read). Throws IO if it is longer. */
export function readGiven(path: string, lengthMax: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = beginningOf(path, lengthMax + 1);
  } catch (cause) {
    throw systemError(cause, `read ${path}`);
  }
  if (bytes.length <= lengthMax) return bytes;
  throw new SystemError('IO', `${path} is too long: at most ${lengthMax} bytes`);
}

function beginningOf(from: string | number, lengthMax: number): Uint8Array {
  const fd = typeof from === 'number' ? from : openSync(from, 'r');
  try {
    const bytes = new Uint8Array(lengthMax);
    let length = 0;
    for (;;) {
      const count = readSync(fd, bytes, length, lengthMax - length, null);
      length += count;
      if (count === 0 || length === lengthMax) return bytes.subarray(0, length);
    }
  } finally {
    if (typeof from === 'string') closeSync(fd);
  }
}

type Typed = Uint8Array | 'no terminal' | 'interrupted';

/**
 * Asks on the terminal itself, so that input and output may be redirected, and echoes nothing. While it waits for an
 * answer Ctrl-C is not a signal but a key: `interrupted`.
 */
export function askSecretly(question: string): Typed {
  return ask(question, false);
}

/** As `askSecretly`, but echoes the answer. */
export function askOpenly(question: string): Typed {
  return ask(question, true);
}

function ask(question: string, isShown: boolean): Typed {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    return 'no terminal';
  }
  // A ReadStream makes its descriptor non-blocking, and closes it: so it gets one of its own.
  const terminal = new ReadStream(openSync('/dev/tty', 'r+'));
  terminal.setRawMode(true);
  // The question names a set, or a volume of a guest's disk.
  writeSync(fd, printable(question));
  try {
    return typed(fd, isShown);
  } finally {
    giveBack(terminal, fd);
    terminal.destroy();
    closeSync(fd);
  }
}

/** A terminal that was hung up accepts no further changes. */
function giveBack(terminal: ReadStream, fd: number): void {
  terminal.on('error', () => {});
  terminal.setRawMode(false);
  try {
    writeSync(fd, '\n');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EIO') throw cause;
  }
}

function typed(fd: number, isShown: boolean): Uint8Array | 'interrupted' {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    const byte = readKey(fd, one);
    // Keys typed before the line was hung up are not an answer.
    if (byte === undefined || byte === CONTROL_C) return 'interrupted';
    if (ENTERS.includes(byte) || byte === CONTROL_D) return Uint8Array.from(bytes);
    if (BACKSPACES.includes(byte)) {
      if (isShown && bytes.length > 0) writeSync(fd, '\b \b');
      eraseCharacter(bytes);
    } else if (bytes.length < LENGTH_MAX) {
      if (isShown) writeSync(fd, one);
      bytes.push(byte);
    }
  }
}

/** Undefined: the line was hung up. */
function readKey(fd: number, into: Uint8Array): number | undefined {
  try {
    return readSync(fd, into) === 0 ? undefined : into[0];
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EIO') return undefined;
    throw cause;
  }
}

/** In UTF-8 all bytes of a character except the first begin with the bits 10. */
function eraseCharacter(bytes: number[]): void {
  while (((bytes.pop() ?? 0) & 0xc0) === 0x80);
}
