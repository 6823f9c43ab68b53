import { FormatError } from '../../formats/format-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import {
  checkFrame,
  type DomainKeys,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  type FrameCodec,
  frameCodec,
  parseFrameHeader,
  PLAIN_LENGTH_MAX,
} from '../../formats/store/packs/frame.ts';
import { placesOf } from '../packs/moved-frames.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { pieceReader } from './frame-pieces.ts';
import { type Problem, reason } from './problem.ts';
import { sweptFrames } from './swept-frames.ts';

/** `length` is absent where the frame is known only from a mark. */
export interface PlacedFrame {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length?: number;
}

const frameKey = ({ offset, digest }: PlacedFrame): string => `${offset} ${digestKey(digest)}`;

export interface FrameCheckOptions {
  readonly onProblem: (problem: Problem) => void;
  readonly pause?: (() => Promise<void>) | undefined;
}

/** Reads frames. Marks a damaged one, so that a backup stores it again; removes the mark of a sound one. */
export function frameChecker(
  packs: PackStore,
  { onProblem, pause }: FrameCheckOptions,
  marks: ReadonlyMap<number, readonly PlacedFrame[]>,
) {
  const pieces = pieceReader(packs, pause);
  const memory = new Uint8Array(FRAME_LENGTH_MAX);
  const plain = new Uint8Array(PLAIN_LENGTH_MAX);

  /** Throws the defect. */
  async function read(
    pack: number,
    placed: PlacedFrame,
    codec: FrameCodec | undefined,
  ): Promise<void> {
    const { offset, length } = placed;
    const frame = memory.subarray(0, length ?? (await lengthAt(pack, offset)));
    await packs.read(frame, pack, offset);
    check(frame, placed, codec);
  }
  /** Throws the defect. */
  function check(frame: Uint8Array, { digest }: PlacedFrame, codec: FrameCodec | undefined): void {
    const header = checkFrame(frame);
    if (digestKey(header.digest) !== digestKey(digest)) {
      throw new FormatError('CORRUPT', 'frame has another digest than the footer says');
    }
    codec?.open(frame, plain.subarray(0, header.plainLength), digest);
  }
  async function lengthAt(pack: number, offset: number): Promise<number> {
    const head = memory.subarray(0, FRAME_HEADER_LENGTH);
    await packs.read(head, pack, offset);
    return FRAME_HEADER_LENGTH + parseFrameHeader(head).storedLength;
  }
  /** Whether the frame was stored again. */
  async function isElsewhere(
    pack: number,
    { digest, offset }: PlacedFrame,
    codec: FrameCodec | undefined,
  ): Promise<boolean> {
    const first = await packs.moved.next({ pack, offset });
    for await (const place of placesOf(packs.moved, first)) {
      try {
        await read(place.pack, { digest, ...place }, codec);
        return true;
      } catch (cause) {
        reason(cause);
      }
    }
    return false;
  }
  return {
    /** Removes the marks of a lost pack whose frames have been stored again. */
    async settle(pack: number, frames: readonly PlacedFrame[]): Promise<void> {
      for (const frame of frames) {
        if (await isElsewhere(pack, frame, undefined)) await packs.wanted.remove({ pack, frame });
      }
    },
    async check(
      pack: number,
      frames: readonly PlacedFrame[],
      keys: DomainKeys | undefined,
    ): Promise<void> {
      const codec = keys && frameCodec(keys);
      const bad: { offset: number; digest: Uint8Array; what: string }[] = [];
      const marked = new Map((marks.get(pack) ?? []).map((it) => [frameKey(it), it]));
      for await (const { frames: some, bytesOf } of pieces(pack, frames)) {
        for (const frame of some) {
          const { offset, digest, length } = frame;
          const mark = marked.get(frameKey(frame));
          try {
            if (length !== undefined && length > FRAME_LENGTH_MAX) {
              throw new FormatError('CORRUPT', `frame of ${length} bytes`);
            }
            const bytes = bytesOf(frame);
            if (bytes) check(bytes, frame, codec);
            else await read(pack, frame, codec);
            if (mark && codec) await packs.wanted.remove({ pack, frame: mark });
          } catch (cause) {
            const what = `at ${offset}: ${reason(cause)}`;
            if (await isElsewhere(pack, frame, codec)) {
              if (mark && codec) await packs.wanted.remove({ pack, frame: mark });
              continue;
            }
            bad.push({ offset, digest, what });
          }
        }
      }
      if (bad.length === 0) return;
      const isSwept = await sweptFrames(packs, pack);
      for (const { offset, digest, what } of bad.filter((it) => !isSwept(it.offset))) {
        await packs.want({ pack, offset, digest });
        onProblem({ where: packs.path(pack), what });
      }
    },
  };
}
