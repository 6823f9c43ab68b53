import { DIGEST_LENGTH } from '../base/digest.ts';

// Names of the files in `wanted/`, which have no contents. Grammar: wanted.md.

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
