import { bufferPool } from '../../lib/buffer-pool.ts';
import { FormatError } from '../../formats/format-error.ts';
import {
  type DomainKeys,
  type FrameCodec,
  FRAME_LENGTH_MAX,
  frameCodec,
} from '../../formats/store/packs/frame.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { StoreError } from '../packs/store-error.ts';

/** One frame to be read, authenticated and decoded into the shared arena. */
export interface DecodeJob {
  /** The number that `Decoder.domain` returned. */
  readonly domain: number;
  readonly pack: number;
  readonly offset: number;
  /** Length of the whole frame. */
  readonly length: number;
  readonly digest: Uint8Array;
  /** Place in the arena, and length. */
  readonly place: number;
  readonly plainLength: number;
}

export type DecodeOutcome = 'decoded' | 'corrupt' | 'missing' | 'failed';

/** Turns frames into blocks; `guest` jobs go before `background` ones. */
export interface Decoder extends AsyncDisposable {
  /** Registers a domain's keys; the number identifies them in jobs. */
  domain(keys: DomainKeys): number;
  decode(job: DecodeJob, priority: Priority): Promise<DecodeOutcome>;
}

export type Priority = 'guest' | 'background';

export type ReadFrame = (into: Uint8Array, pack: number, offset: number) => Promise<void>;

/** Buffers kept per size: more than one is used only where reads do not block. */
const SPARE_FRAMES = 4;

/** The work itself, for one thread: its codecs and buffers are its own. */
export function decodeInto(
  arena: SharedArrayBuffer,
  read: ReadFrame,
  keysOf: (domain: number) => DomainKeys,
): (job: DecodeJob) => Promise<DecodeOutcome> {
  const codecs = new Map<number, FrameCodec>();
  const pool = bufferPool(SPARE_FRAMES, FRAME_LENGTH_MAX);

  function codecOf(domain: number): FrameCodec {
    let codec = codecs.get(domain);
    if (!codec) codecs.set(domain, (codec = frameCodec(keysOf(domain))));
    return codec;
  }
  return async ({ domain, pack, offset, length, digest, place, plainLength }) => {
    if (length > FRAME_LENGTH_MAX) return 'corrupt';
    const frame = pool.take(length);
    try {
      await read(frame, pack, offset);
      codecOf(domain).open(frame, new Uint8Array(arena, place, plainLength), digest);
      return 'decoded';
    } catch (cause) {
      return outcomeOf(cause);
    } finally {
      pool.give(frame);
    }
  };
}

function outcomeOf(cause: unknown): DecodeOutcome {
  if (cause instanceof FormatError) return 'corrupt';
  if (cause instanceof StoreError && cause.code === 'MISSING') return 'missing';
  if (cause instanceof StoreError && cause.code === 'CORRUPT') return 'corrupt';
  if (cause instanceof Error && cause.name === 'SystemError') return 'failed';
  if (cause instanceof StoreError) return 'failed';
  throw cause;
}

/** Decodes in this thread, reading without blocking it: for tests, and while workers start. */
export function inlineDecoder(arena: SharedArrayBuffer, packs: Pick<PackStore, 'read'>): Decoder {
  const domains: DomainKeys[] = [];
  const decode = decodeInto(arena, packs.read, (domain) => domains[domain]!);
  return {
    domain: (keys) => domains.push(keys) - 1,
    decode: (job) => decode(job),
    async [Symbol.asyncDispose]() {},
  };
}
