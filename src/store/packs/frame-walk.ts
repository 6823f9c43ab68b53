import { FormatError } from '../../formats/format-error.ts';
import {
  checkFrame,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  parseFrameHeader,
} from '../../formats/store/packs/frame.ts';
import { PACK_HEADER_LENGTH, type PackEntry } from '../../formats/store/packs/pack.ts';
import { MiB } from '../../lib/sizes.ts';
import type { File } from '../../sys/files/file-system.ts';
import { PACK_SPAN } from './trust.ts';

/** The frames of a pack, found by their checksums without the footer. */
export interface WalkedFrames {
  readonly entries: readonly PackEntry[];
  /** The end of the last whole frame. */
  readonly end: number;
}

/**
 * Goes from frame to frame. At a frame that is not whole it stops (`first-damage`: a pack that a crash left open), or
 * searches for the next whole one (`end`: a pack whose footer is damaged).
 */
export async function walkFrames(
  file: Pick<File, 'read'>,
  until: 'first-damage' | 'end',
): Promise<WalkedFrames> {
  const entries: PackEntry[] = [];
  const bytes = new Uint8Array(FRAME_LENGTH_MAX);
  let end = PACK_HEADER_LENGTH;

  /** The frame that begins at `offset`; undefined: none does. */
  async function frameAt(offset: number): Promise<PackEntry | undefined> {
    try {
      const head = await file.read(bytes.subarray(0, FRAME_HEADER_LENGTH), offset);
      const { storedLength } = parseFrameHeader(bytes.subarray(0, head));
      const length = FRAME_HEADER_LENGTH + storedLength;
      const got = await file.read(bytes.subarray(0, length), offset);
      const { digest } = checkFrame(bytes.subarray(0, got));
      return { digest: digest.slice(), offset, length };
    } catch (cause) {
      if (cause instanceof FormatError) return undefined;
      throw cause;
    }
  }
  for (let at: number | undefined = end; at !== undefined && at < PACK_SPAN; ) {
    const entry: PackEntry | undefined = await frameAt(at);
    if (entry) {
      entries.push(entry);
      end = entry.offset + entry.length;
      at = end;
    } else {
      at = until === 'end' ? await nextHeader(file, at + 1) : undefined;
    }
  }
  return { entries, end };
}

const LOOK_LENGTH = MiB;
const MAGIC = Buffer.from('HFfr', 'latin1');

/** The offset of the next whole frame header from `from` on. */
async function nextHeader(file: Pick<File, 'read'>, from: number): Promise<number | undefined> {
  const bytes = Buffer.alloc(LOOK_LENGTH);
  for (let start = from; start < PACK_SPAN; start += LOOK_LENGTH - FRAME_HEADER_LENGTH) {
    const got = bytes.subarray(0, await file.read(bytes, start));
    for (let at = got.indexOf(MAGIC); at >= 0; at = got.indexOf(MAGIC, at + 1)) {
      try {
        parseFrameHeader(got.subarray(at, at + FRAME_HEADER_LENGTH));
        return start + at;
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
      }
    }
    if (got.length < LOOK_LENGTH) return undefined;
  }
  return undefined;
}
