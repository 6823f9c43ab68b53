import * as zlib from 'node:zlib';

const LEVEL = 1;
const { ZSTD_c_compressionLevel, ZSTD_e_end } = zlib.constants;

/**
 * zstd over buffers that the caller owns. Node's one-shot functions make a context and an output
 * buffer for every call, which costs half of the time at 64 KiB; the handle behind its streams does
 * neither. That handle is not documented, so each codec tries it once and falls back by itself.
 */
export interface Compressor {
  /** Length of the result in `into`, or undefined if it did not fit. */
  compress(from: Uint8Array, into: Uint8Array): number | undefined;
}
export interface Decompressor {
  /** Fills `into` exactly; false if `from` is not a frame of that length. */
  decompress(from: Uint8Array, into: Uint8Array): boolean;
}

interface ZstdHandle {
  /** Flush flag, input, its offset and length, output, its offset and length. */
  writeSync(
    flush: number,
    from: Uint8Array,
    fromOffset: number,
    fromLength: number,
    into: Uint8Array,
    intoOffset: number,
    intoLength: number,
  ): void;
  /** Called in the middle of `writeSync` on bad data; the stream's own handler would end the process. */
  onerror: () => void;
}
interface ZstdStream {
  readonly _handle?: ZstdHandle;
  /** After a write: free output bytes, unread input bytes. Not touched by a write that failed. */
  readonly _writeState?: Uint32Array;
}

const PROBE = new Uint8Array(512).fill(7);

export function compressor(): Compressor {
  const reused = reusedCompressor();
  const probe = new Uint8Array(1024);
  const length = reused?.compress(PROBE, probe);
  const works =
    length !== undefined && equal(zlib.zstdDecompressSync(probe.subarray(0, length)), PROBE);
  return reused && works ? reused : oneShotCompressor;
}

export function decompressor(): Decompressor {
  const reused = reusedDecompressor();
  const probe = new Uint8Array(PROBE.length);
  const works = reused?.decompress(zlib.zstdCompressSync(PROBE), probe) && equal(probe, PROBE);
  return reused && works ? reused : oneShotDecompressor;
}

function reusedCompressor(): Compressor | undefined {
  const stream = zlib.createZstdCompress({
    params: { [ZSTD_c_compressionLevel]: LEVEL },
  }) as unknown as ZstdStream;
  const { _handle: handle, _writeState: state } = stream;
  if (!handle || !state) return undefined;
  return {
    compress(from, into) {
      handle.writeSync(ZSTD_e_end, from, 0, from.length, into, 0, into.length);
      const free = state[0]!;
      if (free > 0 && state[1] === 0) return into.length - free;
      // The frame is not complete: its rest would come out in front of the next one.
      drain(handle, state);
      return undefined;
    },
  };
}

function drain(handle: ZstdHandle, state: Uint32Array): void {
  const rest = new Uint8Array(512 * 1024);
  const none = new Uint8Array(0);
  do handle.writeSync(ZSTD_e_end, none, 0, 0, rest, 0, rest.length);
  while (state[0] === 0);
}

function reusedDecompressor(): Decompressor | undefined {
  let failed = false;
  let stream: ZstdStream | undefined;
  function fresh(): ZstdStream {
    failed = false;
    const made = zlib.createZstdDecompress() as unknown as ZstdStream;
    if (made._handle) made._handle.onerror = () => (failed = true);
    return made;
  }
  stream = fresh();
  if (!stream._handle || !stream._writeState) return undefined;
  return {
    decompress(from, into) {
      const { _handle: handle, _writeState: state } = (stream ??= fresh());
      handle!.writeSync(ZSTD_e_end, from, 0, from.length, into, 0, into.length);
      const whole = !failed && state![0] === 0 && state![1] === 0;
      // A context that met bad data, or more data than expected, is in an unknown state.
      if (!whole) stream = undefined;
      return whole;
    },
  };
}

const oneShotCompressor: Compressor = {
  compress(from, into) {
    const result = zlib.zstdCompressSync(from, { params: { [ZSTD_c_compressionLevel]: LEVEL } });
    if (result.length > into.length) return undefined;
    into.set(result);
    return result.length;
  },
};

const oneShotDecompressor: Decompressor = {
  decompress(from, into) {
    try {
      const result = zlib.zstdDecompressSync(from, { maxOutputLength: Math.max(1, into.length) });
      if (result.length !== into.length) return false;
      into.set(result);
      return true;
    } catch {
      return false;
    }
  },
};

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
