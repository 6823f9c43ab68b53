import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { blake3 } from '@napi-rs/blake-hash';
import { copyBytes } from '../../../lib/bytes.ts';
import { assert } from '../../../lib/assert.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { DIGEST_LENGTH, digester } from '../base/digest.ts';
import { compressor, decompressor } from '../base/zstd.ts';

/*
 * One block or one manifest node as it lies in a pack. Layout, argument and threat model: frame.md.
 *
 *    0 u32 magic "HFfr"      4 u8 version      5 u8 kind      6 u8 flags      7 u8 zero
 *    8 u32 plain length     12 u32 stored length (of what follows the header, tag included)
 *   16 32 digest            48 24 nonce        72 u32 crc of the stored bytes
 *   76 u32 crc of bytes 0..76                  80 stored bytes
 */
export const FRAME_HEADER_LENGTH = 80;

/** Largest block: 64 pages of page-aligned cutting. Nodes are smaller. */
export const PLAIN_LENGTH_MAX = 256 * 1024;
export const FRAME_LENGTH_MAX = FRAME_HEADER_LENGTH + PLAIN_LENGTH_MAX + 16;

export type FrameKind = 'block' | 'node';

export interface FrameHeader {
  readonly kind: FrameKind;
  readonly compressed: boolean;
  readonly encrypted: boolean;
  readonly plainLength: number;
  readonly storedLength: number;
  /** View into the parsed bytes. */
  readonly digest: Uint8Array;
}

/** The secrets of one encryption domain. `frame` is absent where the set is not encrypted. */
export interface DomainKeys {
  readonly digest: Uint8Array;
  readonly frame: Uint8Array | undefined;
  /** Authenticates recovery points and profiles. */
  readonly record: Uint8Array;
  /** Seals what guests of sessions write; public where the set is not encrypted. */
  readonly overlay: Uint8Array;
}

export const NONCE_LENGTH = 24;

/** Seals and opens frames of one domain. Owns scratch memory: one for each thread. */
export interface FrameCodec {
  digest(plain: Uint8Array): Uint8Array;
  /**
   * Writes the frame of `plain`, whose digest is given, to `into` (at least FRAME_LENGTH_MAX long) and returns its
   * length. `nonce`: NONCE_LENGTH fresh random bytes; ignored without encryption.
   */
  seal(
    plain: Uint8Array,
    into: Uint8Array,
    as: { readonly kind: FrameKind; readonly digest: Uint8Array; readonly nonce: Uint8Array },
  ): number;
  /**
   * Fills `into` (of the header's plain length) with the authenticated contents of a whole frame. Throws FormatError;
   * `digest` is the one that the reader expects and the frame must carry.
   */
  open(frame: Uint8Array, into: Uint8Array, digest: Uint8Array): void;
}

const MAGIC = 0x72664648;
const VERSION = 1;
const KIND = { block: 1, node: 2 } as const satisfies Record<FrameKind, number>;
const COMPRESSED = 1;
const ENCRYPTED = 2;
const NONCE_AT = 48;
/** zstd never makes the data longer by more than this. */
const COMPRESSED_MORE_MAX = 4096;
const STORED_CRC_AT = 72;
const HEADER_CRC_AT = 76;
const TAG_LENGTH = 16;
/** Each frame has a key of its own, so its one message may use a constant IV: see frame.md. */
const IV = new Uint8Array(12);
/** Compression must gain at least this much, or readers would pay for nothing. */
const STORED_RAW_ABOVE = 0.94;

/** Parses the first FRAME_HEADER_LENGTH bytes. Checks the header only. */
export function parseFrameHeader(bytes: Uint8Array): FrameHeader {
  if (bytes.length < FRAME_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `frame header of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_LENGTH);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) {
    throw new FormatError('BAD_MAGIC', `not a frame: magic ${magic.toString(16)}`);
  }
  if (crc32(bytes.subarray(0, HEADER_CRC_AT)) !== view.getUint32(HEADER_CRC_AT, true)) {
    throw new FormatError('CORRUPT', 'frame header fails its checksum');
  }
  const version = bytes[4]!;
  const flags = bytes[6]!;
  if (version !== VERSION || flags > (COMPRESSED | ENCRYPTED)) {
    throw new FormatError('UNSUPPORTED', `frame version ${version}, flags ${flags}`);
  }
  const kind = bytes[5] === KIND.block ? 'block' : 'node';
  const plainLength = view.getUint32(8, true);
  const storedLength = view.getUint32(12, true);
  const known = bytes[5] === KIND[kind];
  if (!known || plainLength > PLAIN_LENGTH_MAX || storedLength > PLAIN_LENGTH_MAX + TAG_LENGTH) {
    throw new FormatError(
      'CORRUPT',
      `frame of kind ${bytes[5]}, lengths ${plainLength}, ${storedLength}`,
    );
  }
  const encrypted = (flags & ENCRYPTED) !== 0;
  checkZero(bytes, { from: 7, to: 8 }, 'frame header');
  if (!encrypted) checkZero(bytes, { from: NONCE_AT, to: STORED_CRC_AT }, 'frame nonce');
  return {
    kind,
    compressed: (flags & COMPRESSED) !== 0,
    encrypted,
    plainLength,
    storedLength,
    digest: bytes.subarray(16, 16 + DIGEST_LENGTH),
  };
}

/** Checks all that can be checked without a key: header, length and checksum of the whole frame. */
export function checkFrame(frame: Uint8Array): FrameHeader {
  const header = parseFrameHeader(frame);
  const length = FRAME_HEADER_LENGTH + header.storedLength;
  if (frame.length < length) {
    throw new FormatError('TRUNCATED', `frame of ${length} bytes ends after ${frame.length}`);
  }
  const stored = frame.subarray(FRAME_HEADER_LENGTH, length);
  const view = new DataView(frame.buffer, frame.byteOffset);
  if (crc32(stored) !== view.getUint32(STORED_CRC_AT, true)) {
    throw new FormatError('CORRUPT', 'frame contents fail their checksum');
  }
  return header;
}

export function frameCodec(keys: DomainKeys): FrameCodec {
  const digest = digester(keys.digest);
  const compress = compressor().compress;
  const decompress = decompressor().decompress;
  // With room for data that does not compress: aborting would cost the compressor more.
  const compressed = new Uint8Array(PLAIN_LENGTH_MAX + COMPRESSED_MORE_MAX);

  function unpack(body: Uint8Array, header: FrameHeader, into: Uint8Array): void {
    const { compressed, plainLength } = header;
    if (compressed) {
      if (!decompress(body, into)) throw new FormatError('CORRUPT', 'frame does not decompress');
    } else if (body.length === plainLength) {
      copyBytes(body, into, 0);
    } else {
      throw new FormatError('CORRUPT', `raw frame of ${body.length} bytes, not ${plainLength}`);
    }
  }
  return {
    digest,
    seal(plain, into, { kind, digest, nonce }) {
      assert(plain.length > 0 && plain.length <= PLAIN_LENGTH_MAX, `block of ${plain.length}`);
      assert(nonce.length === NONCE_LENGTH, `nonce of ${nonce.length}`);
      const length = compress(plain, compressed);
      const isRaw = length === undefined || length > plain.length * STORED_RAW_ABOVE;
      const body = isRaw ? plain : compressed.subarray(0, length);
      const storedLength = body.length + (keys.frame ? TAG_LENGTH : 0);

      const view = new DataView(into.buffer, into.byteOffset, FRAME_HEADER_LENGTH);
      view.setUint32(0, MAGIC, true);
      into[4] = VERSION;
      into[5] = KIND[kind];
      into[6] = (isRaw ? 0 : COMPRESSED) | (keys.frame ? ENCRYPTED : 0);
      into[7] = 0;
      view.setUint32(8, plain.length, true);
      view.setUint32(12, storedLength, true);
      into.set(digest, 16);
      if (keys.frame) into.set(nonce, NONCE_AT);
      else into.fill(0, NONCE_AT, NONCE_AT + NONCE_LENGTH);

      if (keys.frame) encrypt(keys.frame, body, into);
      else copyBytes(body, into, FRAME_HEADER_LENGTH);
      const end = FRAME_HEADER_LENGTH + storedLength;
      view.setUint32(STORED_CRC_AT, crc32(into.subarray(FRAME_HEADER_LENGTH, end)), true);
      view.setUint32(HEADER_CRC_AT, crc32(into.subarray(0, HEADER_CRC_AT)), true);
      return end;
    },

    open(frame, into, wanted) {
      const header = parseFrameHeader(frame);
      const { storedLength, plainLength } = header;
      if (frame.length < FRAME_HEADER_LENGTH + storedLength) {
        throw new FormatError('TRUNCATED', `frame ends after ${frame.length} bytes`);
      }
      if (!equal(header.digest, wanted)) {
        throw new FormatError('CORRUPT', 'frame has another digest than the one referred to');
      }
      if (plainLength !== into.length) {
        throw new FormatError('CORRUPT', `frame holds ${plainLength} bytes, not ${into.length}`);
      }
      if (header.encrypted !== (keys.frame !== undefined)) {
        throw new FormatError('CORRUPT', 'frame belongs to another encryption domain');
      }
      const stored = frame.subarray(FRAME_HEADER_LENGTH, FRAME_HEADER_LENGTH + storedLength);
      if (keys.frame) {
        const body = decrypt(keys.frame, frame, stored);
        unpack(body, header, into);
        free(body);
      } else {
        unpack(stored, header, into);
      }
      // The tag covers the digest too, so with a tag there is nothing left to check.
      if (!keys.frame && !equal(digest(into), wanted)) {
        throw new FormatError('CORRUPT', 'frame contents fail their digest');
      }
    },
  };
}

/**
 * BLAKE3 over three fields of fixed length, the secret first: see frame.md. Returns a key object, because for raw
 * bytes Node first throws and catches an error while it tests what they are (37 us a frame).
 */
function keyOf(domain: Uint8Array, frame: Uint8Array): KeyObject {
  const input = new Uint8Array(domain.length + DIGEST_LENGTH + NONCE_LENGTH);
  input.set(domain);
  input.set(frame.subarray(16, NONCE_AT + NONCE_LENGTH), domain.length);
  return createSecretKey(blake3(input));
}

function encrypt(domain: Uint8Array, body: Uint8Array, frame: Uint8Array): void {
  const cipher = createCipheriv('aes-256-gcm', keyOf(domain, frame), IV);
  cipher.setAAD(frame.subarray(0, STORED_CRC_AT));
  const sealed = cipher.update(body);
  copyBytes(sealed, frame, FRAME_HEADER_LENGTH);
  free(sealed);
  cipher.final();
  frame.set(cipher.getAuthTag(), FRAME_HEADER_LENGTH + body.length);
}

function decrypt(domain: Uint8Array, frame: Uint8Array, stored: Uint8Array): Buffer<ArrayBuffer> {
  const end = stored.length - TAG_LENGTH;
  if (end < 0) throw new FormatError('CORRUPT', 'frame is too short for its tag');
  const cipher = createDecipheriv('aes-256-gcm', keyOf(domain, frame), IV, {
    authTagLength: TAG_LENGTH,
  });
  cipher.setAAD(frame.subarray(0, STORED_CRC_AT));
  cipher.setAuthTag(stored.subarray(end));
  const body = cipher.update(stored.subarray(0, end));
  try {
    cipher.final();
  } catch (cause) {
    throw new FormatError('CORRUPT', 'frame fails its authentication tag', { cause });
  }
  return body;
}

/**
 * A cipher allocates new memory for each frame. Left to the garbage collector, tens of MiB of it pile up in each
 * decoding thread; given back at once, the next frame gets the same memory, still in the processor's cache.
 */
function free(bytes: Buffer<ArrayBuffer>): void {
  bytes.buffer.transfer(0);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < DIGEST_LENGTH; at++) if (a[at] !== b[at]) return false;
  return true;
}
