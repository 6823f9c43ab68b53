import { FormatError } from '../../formats/format-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import { checkFrame } from '../../formats/store/packs/frame.ts';
import {
  decodePackHeader,
  decodePackTrailer,
  PACK_HEADER_LENGTH,
  PACK_TRAILER_LENGTH,
} from '../../formats/store/packs/pack.ts';
import { type PackBytes, readFooter } from '../packs/pack-contents.ts';
import type { PackFooter, PackStore } from '../packs/pack-store.ts';
import { livingEntries } from '../packs/swept-packs.ts';
import { reason } from './problem.ts';

/* Packs of nodes in memory: whether they are whole, and whole ones made of two. */

const inMemory = (bytes: Uint8Array): PackBytes => ({
  path: 'it',
  size: async () => bytes.length,
  async read(into, offset) {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  },
});

/** Undefined: all of it is whole. */
export async function defectOf(
  bytes: Uint8Array | undefined,
  pack: number,
  dead: ReadonlySet<number>,
): Promise<string | undefined> {
  if (!bytes) return 'it is missing';
  try {
    const { header, entries } = await readFooter(inMemory(bytes));
    if (header.number !== pack) return `it says that it is pack ${header.number}`;
    if (header.kind !== 'node') return 'it is a pack of blocks';
    for (const entry of entries) {
      if (!dead.has(entry.offset) && !isWhole(bytes, entry))
        return `at ${entry.offset}: the frame is damaged`;
    }
    return undefined;
  } catch (cause) {
    return reason(cause);
  }
}

type Entry = PackFooter['entries'][number];

function isWhole(bytes: Uint8Array, { offset, length, digest }: Entry): boolean {
  try {
    const found = checkFrame(bytes.subarray(offset, offset + length)).digest;
    return digestKey(found) === digestKey(digest);
  } catch (cause) {
    if (cause instanceof FormatError) return false;
    throw cause;
  }
}

/**
 * Puts zeros in the place of frames that a sweep has found dead, in both: there may be holes. Returns their offsets;
 * or why it is not known which they are.
 */
export async function forgetDead(
  packs: Pick<PackStore, 'swept'>,
  pack: number,
  both: readonly (Uint8Array | undefined)[],
): Promise<ReadonlySet<number> | string> {
  for (const bytes of both) {
    const footer = bytes && (await footerOf(bytes, pack));
    if (!footer) continue;
    let living: readonly Entry[];
    try {
      living = await livingEntries(packs, pack, footer);
    } catch (cause) {
      return reason(cause);
    }
    const alive = new Set(living.map(({ offset }) => offset));
    const dead = footer.entries.filter(({ offset }) => !alive.has(offset));
    for (const { offset, length } of dead) {
      for (const one of both) one?.fill(0, offset, offset + length);
    }
    return new Set(dead.map(({ offset }) => offset));
  }
  return new Set();
}

/** Undefined: it is damaged, or that of another pack. */
async function footerOf(bytes: Uint8Array, pack: number): Promise<PackFooter | undefined> {
  try {
    const footer = await readFooter(inMemory(bytes));
    return footer.header.number === pack ? footer : undefined;
  } catch (cause) {
    reason(cause);
    return undefined;
  }
}

/** Undefined: a part is whole in neither. */
export async function merged(
  main: Uint8Array | undefined,
  copy: Uint8Array | undefined,
  look: (bytes: Uint8Array) => Promise<string | undefined>,
): Promise<Uint8Array | undefined> {
  if (!main || !copy) return undefined;
  const candidates = [
    [main, copy],
    [copy, main],
    [withHeaderOf(copy, main), copy],
    [withHeaderOf(main, copy), main],
  ] as const;
  for (const [base, other] of candidates) {
    let entries: readonly Entry[];
    try {
      ({ entries } = await readFooter(inMemory(base)));
    } catch (cause) {
      reason(cause);
      continue;
    }
    const bytes = base.slice();
    for (const entry of entries) {
      if (isWhole(bytes, entry) || !isWhole(other, entry)) continue;
      bytes.set(other.subarray(entry.offset, entry.offset + entry.length), entry.offset);
    }
    if ((await look(bytes)) === undefined) return bytes;
  }
  return undefined;
}

function withHeaderOf(from: Uint8Array, bytes: Uint8Array): Uint8Array {
  const made = bytes.slice();
  made.set(from.subarray(0, Math.min(PACK_HEADER_LENGTH, made.length)));
  return made;
}

/** Whether two packs of one number cannot be copies of each other, as far as their headers and ends can be read. */
export function isOther(a: Uint8Array, b: Uint8Array): boolean {
  const [one, two] = [partsOf(a), partsOf(b)];
  const [of, copyOf] = [one.header, two.header];
  if (of && copyOf) {
    if (of.kind !== copyOf.kind || of.number !== copyOf.number) return true;
    if (Buffer.compare(of.domain, copyOf.domain) !== 0) return true;
  }
  if (!one.trailer || !two.trailer) return false;
  return one.trailer.entriesCrc !== two.trailer.entriesCrc || a.length !== b.length;
}

function partsOf(bytes: Uint8Array) {
  const end = bytes.subarray(Math.max(0, bytes.length - PACK_TRAILER_LENGTH));
  return {
    header: readable(() => decodePackHeader(bytes)),
    trailer: readable(() => decodePackTrailer(end, bytes.length)),
  };
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}
