import { type DeadFrames, isDead } from '../../formats/store/packs/dead.ts';
import type { FrameKind } from '../../formats/store/packs/frame.ts';
import type { PackEntry } from '../../formats/store/packs/pack.ts';
import { FormatError } from '../../formats/format-error.ts';
import type { Store } from '../directory/store.ts';
import type { PackFooter } from '../packs/pack-store.ts';
import type { Range } from '../packs/swept-packs.ts';
import { pageRange } from '../packs/swept-packs.ts';
import type { Marking } from './mark.ts';

/** What can be removed of a pack. */
export interface PackPlan {
  readonly pack: number;
  /** In hexadecimal digits. */
  readonly domain: string;
  readonly footer: PackFooter;
  /** All dead frames, as in `DeadFrames`, also those of earlier sweeps: what is dead stays dead. */
  readonly bits: Uint8Array;
  /** The same, but only those that nothing needs: their space is given back. */
  readonly unneeded: Uint8Array;
  /** The frames that are dead now and were not before. */
  readonly dead: readonly PackEntry[];
  /** Dead frames of earlier sweeps that are needed now: a recovery point that was forgotten is back. */
  readonly lost: readonly PackEntry[];
  /** The needed frames. */
  readonly needed: readonly PackEntry[];
  /** Nothing in it is needed. */
  readonly isWhole: boolean;
  /** Whether there is enough to remove. */
  readonly isWorth: boolean;
  /** Bytes of frames that are needed, and of those that are not. */
  readonly liveBytes: number;
  readonly deadBytes: number;
  /** The space that the removal gives back, and that earlier ones gave back. */
  readonly freeBytes: number;
  readonly givenBytes: number;
  /** Dead bytes that stay occupied after it: parts of pages. */
  readonly leftBytes: number;
  readonly kind: FrameKind;
  /** The length of its file. */
  readonly size: number;
}

/** What is remembered of a pack for later. */
export type PackFigures = Omit<
  PackPlan,
  'footer' | 'bits' | 'unneeded' | 'dead' | 'lost' | 'needed'
>;

/** A pack is worth a change if so much of it can be given back: bytes, or a share of it. */
const WORTH_BYTES = 2 ** 20;
const WORTH_SHARE = 0.1;

/** Undefined: it cannot be swept now. Rejects FormatError, StoreError if it cannot be read. */
export async function planPack(
  { packs }: Store,
  marking: Marking,
  pack: number,
  domains: ReadonlySet<string>,
): Promise<PackPlan | undefined> {
  const footer = await packs.footer(pack);
  const { header, entries, size } = footer;
  const domain = Buffer.from(header.domain).toString('hex');
  if (header.number !== pack || !domains.has(domain)) return undefined;
  const { live } = marking;
  const elsewhere = marking.moved.has(pack) ? await packs.moved.of(pack) : undefined;
  const before = await deadBefore(packs, { pack, entriesCrc: footer.entriesCrc });
  const bits = new Uint8Array(Math.ceil(entries.length / 8));
  const unneeded = new Uint8Array(bits.length);
  const dead: PackEntry[] = [];
  const lost: PackEntry[] = [];
  const needed: PackEntry[] = [];
  let liveBytes = 0;
  let deadBytes = 0;
  for (const [at, entry] of entries.entries()) {
    const wasDead = before !== undefined && isDead(before, at);
    // Readers find a frame that has moved at its new place.
    const to = elsewhere?.get(entry.offset);
    const isHere = to === undefined || !marking.isThere(to.pack);
    const isNeeded = isHere && live.has(header.kind, { pack, offset: entry.offset });
    const bit = 1 << (at & 7);
    if (wasDead || !isNeeded) bits[at >>> 3]! |= bit;
    if (isNeeded) {
      liveBytes += entry.length;
      needed.push(entry);
      if (wasDead) lost.push(entry);
    } else {
      unneeded[at >>> 3]! |= bit;
      deadBytes += entry.length;
      if (!wasDead) dead.push(entry);
    }
  }
  const isWhole = liveBytes === 0;
  const given = before?.isGivenBack ? pagesIn(deadRanges(entries, before.bits)) : 0;
  const pages = pagesIn(deadRanges(entries, unneeded));
  const freeBytes = Math.max(0, (isWhole ? size : pages) - given);
  const isUnfinished = before !== undefined && !before.isGivenBack;
  const isWorth =
    isWhole || isUnfinished || freeBytes >= WORTH_BYTES || freeBytes >= WORTH_SHARE * size;
  const leftBytes = isWhole ? 0 : deadBytes - pages;
  return {
    ...{
      pack,
      domain,
      kind: header.kind,
      footer,
      bits,
      unneeded,
      dead,
      lost,
      needed,
      isWhole,
      isWorth,
    },
    ...{ liveBytes, deadBytes, freeBytes, givenBytes: given, leftBytes, size },
  };
}

/** A damaged record is written again: what nothing needs now is dead, whatever it said. */
async function deadBefore(
  { swept }: Store['packs'],
  listed: Parameters<typeof swept.dead>[0],
): Promise<DeadFrames | undefined> {
  try {
    return await swept.dead(listed);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return { count: 0, isGivenBack: false, bits: new Uint8Array(0) };
  }
}

/** Neighbors that are dead as one range. */
export function deadRanges(entries: readonly PackEntry[], bits: Uint8Array): Range[] {
  const ranges: Range[] = [];
  for (const [at, { offset, length }] of entries.entries()) {
    if (!isDead({ bits }, at)) continue;
    const last = ranges.at(-1);
    if (last?.end === offset) ranges[ranges.length - 1] = { ...last, end: offset + length };
    else ranges.push({ start: offset, end: offset + length });
  }
  return ranges;
}

function pagesIn(ranges: readonly Range[]): number {
  return ranges.reduce((sum, range) => {
    const { start, end } = pageRange(range);
    return sum + Math.max(0, end - start);
  }, 0);
}
