import * as fc from 'fast-check';
import { type PlaceTable, placeTable } from '../../src/formats/store/sessions/overlay-summary.ts';
import { domainKeys, publicKeys } from '../../src/formats/store/catalog/key-slot.ts';
import {
  type SegmentId,
  segmentKey,
  summaryKey,
} from '../../src/formats/store/sessions/overlay-key.ts';
import {
  type NewSlot,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  type SlotCodec,
  type SlotSealer,
  slotCodec,
  type Suite,
} from '../../src/formats/store/sessions/overlay-log.ts';
import { pageSealer } from '../../src/sys/crypto/page-sealer.ts';
import { pattern } from './random.ts';

// One log of sealed slots, of always the same bytes, for the tests of its format.

export const SUITES = [1, 2] as const;
export const OVERLAY_ID = Uint8Array.from({ length: 16 }, (_, at) => 0x10 + at);
export const SALT = Uint8Array.from({ length: 32 }, (_, at) => 0x40 + at);
export const SEGMENT = { number: 7, salt: SALT };
/** Each segment has a salt of its own. */
export function withSalts(numbers: readonly number[]): readonly SegmentId[] {
  return numbers.map((number) => ({ number, salt: new Uint8Array(32).fill(number) }));
}

export const DATA_KEY = Uint8Array.from({ length: 32 }, (_, at) => 0x80 + at);
export const HEAD = {
  suite: 2,
  size: 5 * 2 ** 40 + 512,
  overlayId: OVERLAY_ID,
  places: 16_384,
} as const;
export const LOG = { session: 'web1-3f9c2a', disk: 'vda', ...HEAD };
export const PAGE = pattern(PAGE_LENGTH);
export const QUAD = pattern(QUAD_LENGTH);
export const DURABLE = { segment: 7, place: 16_384 };
export const MARK = new Uint8Array(PAGE_LENGTH);

export function sealerOf(suite: Suite, of: 'segment' | 'summary' = 'segment'): SlotSealer {
  const dataKey = suite === 2 ? DATA_KEY : undefined;
  const { overlay } = dataKey ? domainKeys(dataKey) : publicKeys();
  const log = { ...LOG, suite };
  const summary = { segment: SEGMENT, salt: SALT.toReversed() };
  return pageSealer(
    of === 'segment' ? segmentKey(overlay, log, SEGMENT) : summaryKey(overlay, log, summary),
    suite,
  );
}

export function codecOf(
  suite: Suite,
  of: 'segment' | 'summary' = 'segment',
  pages?: number,
): SlotCodec {
  return slotCodec(sealerOf(suite, of), { of, ...(pages !== undefined && { pages }) });
}

export function sealed(codec: SlotCodec, slot: NewSlot, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((body.length / PAGE_LENGTH) * PLACE_LENGTH).fill(0xdd);
  codec.seal(bytes, slot, body);
  return bytes;
}

/** A table of a segment of 600 places, so that the summary has two bodies. */
export function exampleTable(places = 600): PlaceTable {
  const table = placeTable(places);
  table.set(1, { kind: 'birth', page: 7, n: 1 });
  table.set(2, { kind: 'zeros', page: 0, n: 1 });
  table.set(5, { kind: 'pages', page: 2 ** 40, n: 4 });
  table.set(9, { kind: 'mark', page: 0, n: 1 });
  table.set(10, { kind: 'freed', page: 0, n: 1 });
  table.set(places - 2, { kind: 'pages', page: 3, n: 1 });
  return table;
}

/** With the prototype that what is decoded has. */
export function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}
