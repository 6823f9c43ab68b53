import { createHash } from 'node:crypto';
import { FormatError } from '../format-error.ts';
import { objectIn, textIn, wholeIn } from './qmp.ts';

/* Answers of the guest agent about files and programs. All throw FormatError. qmp.md, "Files of a guest". */

/** No request or answer carries more bytes of a file: libvirt and the agent bound the lines, in base64. */
export const GUEST_PART_MAX = 48 * 1024;
const COMMANDS_MAX = 1000;
/** What a program says is only shown. */
const SAID_MAX = 4096;

/** The commands that the agent carries out, of an answer to `guest-info`. */
export function guestCommandsIn(answer: unknown): ReadonlySet<string> {
  const commands = objectIn(answer, 'an agent')['supported_commands'];
  if (!Array.isArray(commands) || commands.length > COMMANDS_MAX) {
    throw new FormatError('CORRUPT', 'commands that are not a list');
  }
  const enabled = commands
    .map((it: unknown) => objectIn(it, 'a command'))
    .filter((it) => it['enabled'] === true);
  return new Set(enabled.map((it) => textIn(it['name'], 'a command')));
}

/** `mswindows`, or the name of another system; undefined: the agent does not know it. */
export function guestSystemIdIn(answer: unknown): string | undefined {
  const { id } = objectIn(answer, 'a system');
  return id === undefined ? undefined : textIn(id, 'the ID of a system');
}

/** A file that is open in the agent, of an answer to `guest-file-open`; a program, of one to `guest-exec`. */
export function guestHandleIn(answer: unknown): number {
  return wholeIn(answer, 'an open file');
}

export function guestPidIn(answer: unknown): number {
  return wholeIn(objectIn(answer, 'a program')['pid'], 'a program');
}

/** How many bytes of `length` were written. */
export function guestWrittenIn(answer: unknown, length: number): number {
  const count = wholeIn(objectIn(answer, 'a write')['count'], 'a number of bytes');
  if (count > 0 && count <= length) return count;
  throw new FormatError('CORRUPT', `${count} of ${length} bytes were written`);
}

/** Bytes that were read; none: the file ends there. */
export function guestPartIn(answer: unknown, lengthMax: number): Uint8Array {
  const { 'buf-b64': text, count } = objectIn(answer, 'a read');
  if (typeof text !== 'string' || text.length > 4 * Math.ceil(lengthMax / 3)) {
    throw new FormatError('CORRUPT', 'a part of a file that is too long, or no text');
  }
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === count) return bytes;
  throw new FormatError('CORRUPT', `${bytes.length} bytes of a file that are said to be others`);
}

export interface GuestProgramEnd {
  /** Undefined: a signal ended it. */
  readonly code: number | undefined;
  /** What it said of what went wrong. */
  readonly said: string;
}

/** Undefined: it still runs. */
export function guestEndIn(answer: unknown): GuestProgramEnd | undefined {
  const status = objectIn(answer, 'the state of a program');
  if (status['exited'] !== true) return undefined;
  const { exitcode, 'err-data': said } = status;
  const text = typeof said === 'string' ? Buffer.from(said, 'base64').toString('utf8') : '';
  const code = exitcode === undefined ? undefined : wholeIn(exitcode, 'an exit code');
  return { code, said: text.slice(0, SAID_MAX).trim() };
}

/** The checksum that `sha256sum` prints in a guest. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
