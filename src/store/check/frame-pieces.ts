import { MiB } from '../../lib/sizes.ts';
import { FRAME_LENGTH_MAX } from '../../formats/store/packs/frame.ts';
import type { PackReading } from '../packs/pack-store.ts';
import { reason } from './problem.ts';

/*
 * Frames of a pack in pieces of some MiB: a disk reads these at its full speed, and one is read while the frames of
 * the one before are checked. A piece that cannot be read comes without bytes: a bad sector damages one frame, so each
 * frame is then read alone.
 */
interface Frame {
  readonly offset: number;
  readonly length?: number;
}

export interface Piece<F extends Frame> {
  readonly frames: readonly F[];
  /** The bytes of one of its frames, valid until the next piece but one is asked for; undefined: read it alone. */
  bytesOf(frame: F): Uint8Array | undefined;
}

const PIECE_LENGTH = 4 * MiB;

/** Frames that are further apart than this are not read together. */
const GAP_MAX = 64 * 1024;

/** `pause` is awaited before each piece. */
export function pieceReader(
  packs: Pick<PackReading, 'read'>,
  pause: (() => Promise<void>) | undefined,
) {
  // Made when there is something to read.
  const memory: Uint8Array[] = [];

  async function read<F extends Frame>(pack: number, run: Run<F>, turn: number): Promise<Piece<F>> {
    const { frames, from, to } = run;
    const nothing = { frames, bytesOf: () => undefined };
    await pause?.();
    if (to === undefined) return nothing;
    const bytes = (memory[turn] ??= new Uint8Array(PIECE_LENGTH)).subarray(0, to - from);
    try {
      await packs.read(bytes, pack, from);
    } catch (cause) {
      reason(cause);
      return nothing;
    }
    const bytesOf = ({ offset, length = 0 }: F) =>
      bytes.subarray(offset - from, offset - from + length);
    return { frames, bytesOf };
  }
  return async function* pieces<F extends Frame>(
    pack: number,
    frames: readonly F[],
  ): AsyncGenerator<Piece<F>> {
    const runs = runsOf(frames);
    let next = runs[0] && read(pack, runs[0], 0);
    for (let at = 0; next; at++) {
      const piece: Piece<F> = await next;
      const after = runs[at + 1];
      next = after && read(pack, after, (at + 1) % 2);
      // Its failure is thrown when it is awaited; or never, if the caller stops before.
      next?.catch(() => {});
      yield piece;
    }
  };
}

/** Frames that are read at once; `to` undefined: they are not. */
interface Run<F extends Frame> {
  readonly frames: F[];
  readonly from: number;
  readonly to: number | undefined;
}

function runsOf<F extends Frame>(frames: readonly F[]): Run<F>[] {
  const runs: Run<F>[] = [];
  for (const frame of frames) {
    const { offset, length } = frame;
    const last = runs.at(-1);
    const isKnown = length !== undefined && length <= FRAME_LENGTH_MAX;
    if (!isKnown) runs.push({ frames: [frame], from: offset, to: undefined });
    else if (last?.to !== undefined && fits(last, offset, length)) {
      last.frames.push(frame);
      runs[runs.length - 1] = { ...last, to: offset + length };
    } else runs.push({ frames: [frame], from: offset, to: offset + length });
  }
  return runs;
}

/** A footer is not authenticated: its frames may be in any order. */
function fits(
  { from, to }: { readonly from: number; readonly to: number | undefined },
  offset: number,
  length: number,
): boolean {
  if (to === undefined || offset < to || offset - to > GAP_MAX) return false;
  return offset + length - from <= PIECE_LENGTH;
}
