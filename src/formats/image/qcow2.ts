import { latin1, viewOf } from '../../lib/bytes.ts';

/* QEMU's qcow2 (docs/interop/qcow2.txt). image.md */

/** All that the decoder needs lies in the first cluster, which is at most this long. */
export const QCOW2_HEAD_LENGTH = 2 * 1024 * 1024;

export interface Qcow2Header {
  readonly version: number;
  /** The disk's size in bytes. */
  readonly size: number;
  readonly isEncrypted: boolean;
  readonly backing: string | undefined;
  /** Undefined: it was not recorded. */
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
}

const HEADER_LENGTH = 72;
/** From version 3 on. */
const LONG_HEADER_LENGTH = 104;
const BACKING_FORMAT = 0xe2792aca;
const DATA_FILE = 0x44415441;
const EXTENSIONS_MAX = 64;
/** The longest name that QEMU accepts (block/qcow2.c). */
const TEXT_LENGTH_MAX = 1023;

export function decodeQcow2Header(bytes: Uint8Array): Qcow2Header | undefined {
  if (bytes.length < HEADER_LENGTH || latin1(bytes, 0, 4) !== 'QFI\xfb') return undefined;
  const view = viewOf(bytes);
  const version = view.getUint32(4);
  const isLong = version >= 3 && bytes.length >= LONG_HEADER_LENGTH;
  const extensions = extensionsOf(bytes, isLong ? view.getUint32(100) : HEADER_LENGTH);
  const backingAt = Number(view.getBigUint64(8));
  const backing = backingAt === 0 ? undefined : utf8(bytes, backingAt, view.getUint32(16));
  return {
    version,
    size: Number(view.getBigUint64(24)),
    isEncrypted: view.getUint32(32) !== 0,
    backing,
    backingFormat: extensions.get(BACKING_FORMAT),
    dataFile: extensions.get(DATA_FILE),
  };
}

function extensionsOf(bytes: Uint8Array, start: number): Map<number, string> {
  const view = viewOf(bytes);
  const found = new Map<number, string>();
  let at = start;
  for (let count = 0; count < EXTENSIONS_MAX && at + 8 <= bytes.length; count++) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === 0) break;
    found.set(type, utf8(bytes, at + 8, length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

function utf8(bytes: Uint8Array, at: number, length: number): string {
  const end = at + Math.min(length, TEXT_LENGTH_MAX);
  return Buffer.from(bytes.subarray(at, end)).toString('utf8');
}
