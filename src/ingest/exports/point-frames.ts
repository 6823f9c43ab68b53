import { CatalogError } from '../../catalog/catalog-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { FormatError } from '../../formats/format-error.ts';
import {
  checkFrame,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
} from '../../formats/store/packs/frame.ts';
import { type Location, type Reference, rootLevel } from '../../formats/store/packs/node.ts';
import { MiB } from '../../lib/sizes.ts';
import type { NodeReader } from '../../store/nodes/node-reader.ts';
import { placesOf } from '../../store/packs/moved-frames.ts';
import type { PackStore } from '../../store/packs/pack-store.ts';
import { StoreError } from '../../store/packs/store-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { SeenFrames } from './seen-frames.ts';

/** Frames that a recovery point needs: the blocks of one leaf, or a node all of whose children were given before. */
export type NeededFrames =
  | { readonly kind: 'block'; readonly frames: readonly Reference[] }
  | { readonly kind: 'node'; readonly frame: Reference };

/**
 * The frames of a point, each after all that it refers to. Trees below nodes that `seen` has are left out; the
 * caller adds there what it has taken. Rejects BlockError and CatalogError CORRUPT for a node that cannot be read.
 */
export async function* framesOf(
  point: Pick<PointRecord, 'disks' | 'files'>,
  nodes: NodeReader,
  seen: SeenFrames,
): AsyncGenerator<NeededFrames> {
  async function* below(root: Reference, level: number): AsyncGenerator<NeededFrames> {
    if (await seen.has(root)) return;
    const node = await nodes.node(root);
    if (node.level !== level) {
      const what = `a manifest node has level ${node.level}, not ${level}`;
      throw new CatalogError('CORRUPT', `${what}; run "store check"`);
    }
    if (level === 0) yield { kind: 'block', frames: node.entries };
    else for (const child of node.entries) yield* below(child, level - 1);
    yield { kind: 'node', frame: root };
  }
  for (const { reference, size } of [...point.disks, ...(point.files ?? [])]) {
    if (reference) yield* below(reference, rootLevel(size));
  }
}

/** Frames that lie side by side are read together, up to this length. */
const RUN_LENGTH_MAX = MiB;

/** Reads frames as they are in the store, without a key. Memory of its own: for one caller at a time. */
export interface FrameReading {
  /** The frames in their order, each lent until the next one. Rejects CORRUPT for one that cannot be read. */
  read(frames: readonly Reference[]): AsyncGenerator<{ frame: Reference; bytes: Uint8Array }>;
}

export function frameReading(packs: PackStore): FrameReading {
  const memory = new Uint8Array(RUN_LENGTH_MAX + FRAME_LENGTH_MAX);
  const single = new Uint8Array(FRAME_LENGTH_MAX);

  /** Wherever it is now. */
  async function readOne(frame: Reference): Promise<Uint8Array> {
    let last: Location = frame;
    let failure: Error | undefined;
    for await (const place of placesOf(packs.moved, frame)) {
      last = place;
      try {
        const into = single.subarray(0, place.length);
        await packs.read(into, place.pack, place.offset);
        return wholeFrame(into, frame);
      } catch (cause) {
        failure = unreadable(cause);
      }
    }
    const isLost = failure instanceof FormatError || isGone(failure);
    if (isLost) await packs.want({ ...last, digest: frame.digest });
    const name = Buffer.from(frame.digest).toString('hex').slice(0, 16);
    const where = `${packs.path(last.pack)} at ${last.offset}`;
    const what = `frame ${name} in ${where} cannot be read: ${failure?.message}`;
    throw new CatalogError('CORRUPT', `${what}; run "store check"`, { cause: failure });
  }
  /** Undefined: they cannot be read together. */
  async function readRun(run: readonly Reference[]): Promise<Uint8Array[] | undefined> {
    const [first] = run;
    const end = run.at(-1)!.offset + run.at(-1)!.length;
    const into = memory.subarray(0, end - first!.offset);
    try {
      await packs.read(into, first!.pack, first!.offset);
      return run.map((frame) => {
        const at = frame.offset - first!.offset;
        return wholeFrame(into.subarray(at, at + frame.length), frame);
      });
    } catch (cause) {
      unreadable(cause);
      return undefined;
    }
  }
  return {
    async *read(frames) {
      for (const run of runsOf(frames)) {
        const read = run.length > 1 ? await readRun(run) : undefined;
        for (const [at, frame] of run.entries()) {
          yield { frame, bytes: read?.[at] ?? (await readOne(frame)) };
        }
      }
    },
  };
}

function* runsOf(frames: readonly Reference[]): Generator<readonly Reference[]> {
  let run: Reference[] = [];
  for (const frame of frames) {
    const last = run.at(-1);
    const follows = last?.pack === frame.pack && last.offset + last.length === frame.offset;
    if (last && (!follows || frame.offset - run[0]!.offset > RUN_LENGTH_MAX)) {
      yield run;
      run = [];
    }
    run.push(frame);
  }
  if (run.length > 0) yield run;
}

/** The frame without what may lie behind it. Throws FormatError. */
function wholeFrame(bytes: Uint8Array, { digest }: Reference): Uint8Array {
  const header = checkFrame(bytes);
  if (digestKey(header.digest) !== digestKey(digest)) {
    throw new FormatError('CORRUPT', 'another frame is there');
  }
  return bytes.subarray(0, FRAME_HEADER_LENGTH + header.storedLength);
}

/** Throws what is no failure of the medium. */
function unreadable(cause: unknown): Error {
  const known = [FormatError, StoreError, SystemError];
  if (known.some((kind) => cause instanceof kind)) return cause as Error;
  throw cause;
}

function isGone(cause: unknown): boolean {
  return cause instanceof StoreError && (cause.code === 'MISSING' || cause.code === 'CORRUPT');
}
