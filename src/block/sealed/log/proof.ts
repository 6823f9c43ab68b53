import {
  type LogPosition,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
} from '../../../formats/store/sessions/overlay-log.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { BlockError } from '../../block-error.ts';
import { isBefore } from '../segments/positions.ts';
import type { Segment } from '../segments/segments.ts';
import type { LogParts } from './log-parts.ts';

/** Number of places read at once. */
const READ_PLACES = 256;

/**
 * Used after a sync failed: the kernel may have dropped data that it could not write, and a second sync that succeeds
 * proves nothing about that. So all slots of the zone are read from the medium; if all are there, it is durable.
 */
export async function proofOf(
  { log, segments }: LogParts,
  doubted: readonly Segment[],
  zone: { readonly from: LogPosition; readonly to: LogPosition },
): Promise<void> {
  const { places } = log.head;
  for (const segment of doubted) {
    // It was freed in the meantime: nothing in it is live.
    if (segments.numbered(segment.number) !== segment) continue;
    await segments.use(segment, async (file) => {
      await file.sync();
      await file.drop(0, places * PLACE_LENGTH);
      const lost = await missingSlots(segment, file, { places, zone });
      if (lost.length === 0) return;
      segment.isDamaged = true;
      throw new BlockError(
        'IO',
        `${file.path}: ${lost.length} slots did not reach the medium, the first at place ${lost[0]}`,
      );
    });
  }
}

async function missingSlots(
  segment: Segment,
  file: File,
  {
    places,
    zone,
  }: {
    readonly places: number;
    readonly zone: { readonly from: LogPosition; readonly to: LogPosition };
  },
): Promise<number[]> {
  const { table, codec, number } = segment;
  const bytes = new Uint8Array(Math.min(READ_PLACES, places) * PLACE_LENGTH);
  const quad = new Uint8Array(QUAD_LENGTH);
  const lost: number[] = [];
  if (!table) return lost;
  let [from, to] = [0, 0];
  for (let place = 1; place < places - 1; place++) {
    const position = { segment: number, place };
    const kind = table.kindAt(place);
    if (kind === undefined || isBefore(position, zone.from) || !isBefore(position, zone.to)) {
      continue;
    }
    const n = table.countAt(place);
    if (place + n > to) {
      const length = await file.read(bytes, place * PLACE_LENGTH);
      [from, to] = [place, place + Math.floor(length / PLACE_LENGTH)];
    }
    const at = (place - from) * PLACE_LENGTH;
    const slot = codec.open(bytes.subarray(at), place, quad.subarray(0, n * PAGE_LENGTH));
    const isSame = slot && slot.kind === kind && slot.page === table.pageAt(place);
    if (!isSame) lost.push(place);
    place += n - 1;
  }
  return lost;
}
