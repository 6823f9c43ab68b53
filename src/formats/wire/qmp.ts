import { utf8 } from '../../lib/bytes.ts';
import { FormatError } from '../format-error.ts';

/*
 * Messages of QEMU's monitor protocol and of its guest agent: one JSON object on a line, in both directions. qmp.md.
 */

export type QmpMessage =
  /** The monitor's first message; the guest agent has none. */
  | { readonly kind: 'greeting'; readonly version: QemuVersion }
  /** `id`: that of the command; undefined: it had none. */
  | { readonly kind: 'reply'; readonly id: number | undefined; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number | undefined; readonly failure: QmpFailure }
  | { readonly kind: 'event'; readonly name: string };

export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

export interface QmpFailure {
  /** "GenericError", "CommandNotFound", "DeviceNotFound": the text says more, but may change. */
  readonly class: string;
  readonly text: string;
}

/**
 * The longest answer, of `query-named-block-nodes`, takes about 1 KiB for each image in a chain and for each of its
 * bitmaps and snapshots.
 */
const LINE_MAX = 16 * 1024 * 1024;
const TEXT_MAX = 4096;
const FIRST_LENGTH = 4096;
const NEWLINE = 0x0a;
/** What the guest agent puts before an answer to `guest-sync-delimited`: no JSON has it. */
export const AGENT_DELIMITER = 0xff;

export function encodeQmpCommand(command: {
  readonly name: string;
  readonly args: object | undefined;
  readonly id: number | undefined;
}): Uint8Array {
  const { name, args, id } = command;
  return utf8(`${JSON.stringify({ execute: name, arguments: args, id })}\n`);
}

/** Throws FormatError for anything that is no message. */
export function decodeQmpMessage(line: Uint8Array): QmpMessage {
  const message = objectIn(parsed(line), 'a message');
  if ('QMP' in message) return { kind: 'greeting', version: versionIn(message['QMP']) };
  if ('event' in message) return { kind: 'event', name: textIn(message['event'], 'an event') };
  const id = typeof message['id'] === 'number' ? message['id'] : undefined;
  if ('error' in message) return { kind: 'failure', id, failure: failureIn(message['error']) };
  if ('return' in message) return { kind: 'reply', id, value: message['return'] };
  throw new FormatError('CORRUPT', 'a message that is neither an answer nor an event');
}

function parsed(line: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8'));
  } catch {
    throw new FormatError('CORRUPT', 'a line that is not JSON');
  }
}

function versionIn(greeting: unknown): QemuVersion {
  const { qemu } = objectIn(objectIn(greeting, 'a greeting')['version'], 'a version');
  const { major, minor, micro } = objectIn(qemu, 'a version');
  const number = (it: unknown): number => wholeIn(it, 'a part of a version');
  return { major: number(major), minor: number(minor), micro: number(micro) };
}

function failureIn(error: unknown): QmpFailure {
  const { class: name, desc } = objectIn(error, 'an error');
  return {
    class: typeof name === 'string' ? name.slice(0, TEXT_MAX) : 'GenericError',
    text: typeof desc === 'string' ? desc.slice(0, TEXT_MAX) : '',
  };
}

/** Throws FormatError. */
export function objectIn(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new FormatError('CORRUPT', `${what} that is not an object`);
}

/** Throws FormatError. */
export function textIn(value: unknown, what: string): string {
  if (typeof value === 'string' && value.length <= TEXT_MAX) return value;
  throw new FormatError('CORRUPT', `${what} that is not a text of at most ${TEXT_MAX} characters`);
}

/** Throws FormatError. */
export function wholeIn(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new FormatError('CORRUPT', `${what} that is not a whole number`);
}

/**
 * Cuts a stream into lines, without their ends; `onLine` is lent each. Empty lines are left out, and what the guest
 * agent puts before a line. Throws FormatError for a line that is too long.
 */
export function lineCutter(
  onLine: (line: Uint8Array) => void,
  lengthMax: number = LINE_MAX,
): (bytes: Uint8Array) => void {
  let kept = new Uint8Array(0);
  let filled = 0;

  function keep(bytes: Uint8Array): void {
    if (filled + bytes.length > lengthMax) {
      throw new FormatError('CORRUPT', `a line of more than ${lengthMax} bytes`);
    }
    if (filled + bytes.length > kept.length) {
      const longer = new Uint8Array(Math.max(FIRST_LENGTH, 2 * kept.length, filled + bytes.length));
      longer.set(kept.subarray(0, filled));
      kept = longer;
    }
    kept.set(bytes, filled);
    filled += bytes.length;
  }
  function onEnd(): void {
    const line = kept.subarray(0, filled);
    // Memory for a long line is not kept for the short ones that follow.
    kept = new Uint8Array(0);
    filled = 0;
    const text = plain(line);
    if (text.length > 0) onLine(text);
  }
  return (bytes) => {
    let rest = bytes;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      keep(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      onEnd();
    }
    keep(rest);
  };
}

const RETURN = 0x0d;

function plain(line: Uint8Array): Uint8Array {
  const end = line.at(-1) === RETURN ? line.length - 1 : line.length;
  return line.subarray(line.lastIndexOf(AGENT_DELIMITER) + 1, end);
}
