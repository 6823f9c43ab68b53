import { DIGEST_LENGTH } from '../base/digest.ts';
import { ID } from '../base/names.ts';

// Names of the files in `wanted/`, and what they may contain. Grammar: wanted.md.

/** The disk of a recovery point whose reader found the damage. */
export interface HurtPlace {
  readonly set: string;
  readonly point: string;
  readonly disk: string;
}

/** Three names, two slashes and the end of the line. */
export const HURT_LENGTH_MAX = 3 * 128 + 3;

export function encodeHurt({ set, point, disk }: HurtPlace): Uint8Array {
  return new TextEncoder().encode(`${set}/${point}/${disk}\n`);
}

/** Undefined: it is empty, torn, or means something else. */
export function decodeHurt(bytes: Uint8Array): HurtPlace | undefined {
  const text = Buffer.from(bytes).toString('latin1');
  const [set = '', point = '', disk = '', ...more] = text.slice(0, -1).split('/');
  const isWhole = text.endsWith('\n') && more.length === 0;
  if (!isWhole || ![set, point, disk].every((name) => ID.test(name))) return undefined;
  return { set, point, disk };
}

/** A frame, or (`frame` is absent) a whole pack, that the store no longer trusts. */
export interface Wanted {
  readonly pack: number;
  readonly frame?: { readonly offset: number; readonly digest: Uint8Array } | undefined;
}

const NAME = /^(\d{8})(?:-(\d{10})-([0-9a-f]+))?$/;

export function encodeWanted({ pack, frame }: Wanted): string {
  const number = String(pack).padStart(8, '0');
  if (!frame) return number;
  const digest = Buffer.from(frame.digest).toString('hex');
  return `${number}-${String(frame.offset).padStart(10, '0')}-${digest}`;
}

const OFFSET_MAX = 0xffffffff;

/** Undefined: the name means something else. */
export function decodeWanted(name: string): Wanted | undefined {
  const match = NAME.exec(name);
  if (!match) return undefined;
  const [, pack, offset, hex] = match;
  if (offset === undefined || hex === undefined) return { pack: Number(pack) };
  if (hex.length !== 2 * DIGEST_LENGTH || Number(offset) > OFFSET_MAX) return undefined;
  const digest = Uint8Array.from(Buffer.from(hex, 'hex'));
  return { pack: Number(pack), frame: { offset: Number(offset), digest } };
}
