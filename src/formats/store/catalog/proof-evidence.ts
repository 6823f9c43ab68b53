import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import { MiB } from '../../../lib/sizes.ts';
import { FormatError } from '../../format-error.ts';
import { decodeSmall, encodePng, encodeSmall, type Picture, shrunk } from '../../image/picture.ts';
import {
  checkFrame,
  type DomainKeys,
  FRAME_LENGTH_MAX,
  frameCodec,
  NONCE_LENGTH,
  PLAIN_LENGTH_MAX,
} from '../packs/frame.ts';
import type { EvidenceFrame, EvidenceName, EvidencePart } from './proof.ts';
import { decodeDetails, encodeDetails, type ProofDetails } from './proof-details.ts';
import { PROOF_TEXT_MAX, type ProofResult } from './proof-result.ts';

/* What was seen during a proof: frames of the set (frame.md), one after the other. proof.md. */

export interface Evidence extends ProofDetails {
  /** PNG. */
  readonly screenshot: Uint8Array | undefined;
  /** The same within SMALL: terminals draw it in blocks. */
  readonly small: Picture | undefined;
  readonly screenText: string | undefined;
  readonly serial: string;
}

const PNG_LENGTH_MAX = 4 * MiB;
/** A terminal of 160 columns and 50 lines shows all of it, two pixels in each character. */
const SMALL = { width: 160, height: 100 } as const;
/** More than all parts together, and room for those of a later release. */
export const EVIDENCE_LENGTH_MAX = 16 * MiB;
/** Parts of a later release are not opened. */
const KNOWN = ['details', 'screenshot', 'small', 'screen-text', 'serial'] as const;

/** The file of the evidence, and its parts as the record names them. `nonce`: fresh random bytes at each call. */
export function sealEvidence(
  result: ProofResult,
  keys: DomainKeys,
  nonce: (length: number) => Uint8Array,
): { readonly bytes: Uint8Array; readonly parts: readonly EvidencePart[] } {
  const { screen, screenText, serial } = result;
  const codec = frameCodec(keys);
  const scratch = new Uint8Array(FRAME_LENGTH_MAX);
  const sealed: Uint8Array[] = [];
  const parts: EvidencePart[] = [];
  const seal = (name: EvidenceName, contents: Uint8Array): void => {
    const frames: EvidenceFrame[] = [];
    for (let at = 0; at < contents.length; at += PLAIN_LENGTH_MAX) {
      const plain = contents.subarray(at, at + PLAIN_LENGTH_MAX);
      const digest = Uint8Array.from(codec.digest(plain));
      const as = { kind: 'block', digest, nonce: nonce(NONCE_LENGTH) } as const;
      const length = codec.seal(plain, scratch, as);
      sealed.push(scratch.slice(0, length));
      frames.push({ length, size: plain.length, digest });
    }
    parts.push({ name, frames });
  };
  seal('details', encodeDetails(result));
  if (screen) {
    seal('screenshot', boundedPng(screen));
    seal('small', encodeSmall(shrunk(screen, SMALL)));
  }
  if (screenText !== undefined) seal('screen-text', endOf(screenText));
  if (serial !== '') seal('serial', endOf(serial));
  return { bytes: concatBytes(...sealed), parts };
}

/** A picture that does not compress is kept smaller. */
function boundedPng(picture: Picture): Uint8Array {
  const png = encodePng(picture);
  if (png.length <= PNG_LENGTH_MAX) return png;
  return boundedPng(shrunk(picture, { width: picture.width / 2, height: picture.height / 2 }));
}

/** The end says why a boot failed. */
function endOf(text: string): Uint8Array {
  return utf8(text).subarray(-PROOF_TEXT_MAX);
}

/** Throws FormatError. */
export function openEvidence(
  bytes: Uint8Array,
  parts: readonly EvidencePart[],
  keys: DomainKeys,
): Evidence {
  const codec = frameCodec(keys);
  const found = new Map<string, Uint8Array>();
  eachFrame(bytes, parts, (frame, { size, digest }, name) => {
    if (!KNOWN.some((it) => it === name)) return;
    const plain = new Uint8Array(size);
    codec.open(frame, plain, digest);
    found.set(name, concatBytes(found.get(name) ?? new Uint8Array(0), plain));
  });
  const part = (name: EvidenceName): Uint8Array | undefined => found.get(name);
  const details = part('details');
  if (!details) throw new FormatError('CORRUPT', 'evidence of a proof without details');
  const small = part('small');
  const screenText = part('screen-text');
  return {
    ...decodeDetails(details),
    screenshot: part('screenshot'),
    small: small && decodeSmall(small),
    screenText: screenText && textOf(screenText),
    serial: textOf(part('serial') ?? new Uint8Array(0)),
  };
}

/** What was cut off may have left a part of a character. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Checks all that can be checked without a key. Throws FormatError. */
export function checkEvidence(bytes: Uint8Array, parts: readonly EvidencePart[]): void {
  eachFrame(bytes, parts, (frame) => {
    checkFrame(frame);
  });
}

function eachFrame(
  bytes: Uint8Array,
  parts: readonly EvidencePart[],
  take: (frame: Uint8Array, as: EvidenceFrame, name: string) => void,
): void {
  let at = 0;
  for (const { name, frames } of parts) {
    for (const frame of frames) {
      take(bytes.subarray(at, at + frame.length), frame, name);
      at += frame.length;
    }
  }
  if (at === bytes.length) return;
  throw new FormatError('TRUNCATED', `evidence of ${bytes.length} bytes, not ${at}`);
}
