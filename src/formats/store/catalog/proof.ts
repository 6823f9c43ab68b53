import { FormatError } from '../../format-error.ts';
import {
  cutText,
  decodeJsonRecord,
  encodeJsonRecord,
  type Fields,
  hex,
} from '../base/json-record.ts';
import { idIn, nameIn } from '../base/names.ts';
import { DIGEST_LENGTH } from '../base/digest.ts';
import { FRAME_LENGTH_MAX } from '../packs/frame.ts';
import { PROOF_VERDICTS, type ProofVerdict } from './proof-result.ts';

/*
 * The proofs of one recovery point, the newest first: whether it was proven, in the clear, so that lists need no key,
 * and where the evidence lies that is sealed with the keys of its set (proof-evidence.ts). proof.md.
 */
export interface ProofRecord {
  readonly set: string;
  readonly machine: string;
  readonly point: string;
  readonly proofs: readonly KeptProof[];
}

export interface KeptProof extends ProofOutcome {
  /** Counts the proofs of the point; names the file of its evidence. */
  readonly number: number;
  readonly parts: readonly EvidencePart[];
}

/** What needs no key to be read. */
export interface ProofOutcome {
  readonly verdict: ProofVerdict;
  /** A ProofState, or one that a later release has added. */
  readonly state: string;
  /** ISO 8601, UTC. */
  readonly started: string;
  /** From the request to the verdict. */
  readonly totalMs: number;
  /** The release of Holdfast. */
  readonly release: string;
}

/** A part of the evidence: frames that follow each other in the file. */
export interface EvidencePart {
  /** An EvidenceName, or one that a later release has added. */
  readonly name: string;
  readonly frames: readonly EvidenceFrame[];
}

export type EvidenceName = 'details' | 'screenshot' | 'small' | 'screen-text' | 'serial';

export interface EvidenceFrame {
  /** Its own length in the file. */
  readonly length: number;
  /** The length of what it holds. */
  readonly size: number;
  readonly digest: Uint8Array;
}

/** So many are kept of each point: the last one, and what it can be compared with. */
export const PROOFS_KEPT = 3;
const FORMAT = 'holdfast-proof';
const VERSION = 1;
const PARTS_MAX = 8;
/** 8 MiB in frames of 256 KiB. */
const PART_FRAMES_MAX = 32;
const WORD = /^[a-z][a-z0-9-]{0,31}$/;

export function encodeProofRecord(record: ProofRecord, key: Uint8Array): Uint8Array {
  const proofs = record.proofs.map(({ parts, ...proof }) => ({
    ...{ ...proof, release: cutText(proof.release) },
    parts: parts.map(({ name, frames }) => ({
      name,
      frames: frames.map((frame) => ({ ...frame, digest: hex(frame.digest) })),
    })),
  }));
  return encodeJsonRecord({ format: FORMAT, version: VERSION, ...record, proofs }, key);
}

/** Throws FormatError. Without a key it is not authenticated: sufficient for listings only. */
export function decodeProofRecord(bytes: Uint8Array, key: Uint8Array | undefined): ProofRecord {
  return decodeJsonRecord(bytes, key, recordOf);
}

function recordOf(fields: Fields): ProofRecord {
  fields.expect(FORMAT, VERSION);
  const proofs = fields.list('proofs', PROOFS_KEPT, keptOf);
  if (proofs.length === 0) throw new FormatError('CORRUPT', `${FORMAT} without a proof`);
  if (proofs.some(({ number }, at) => at > 0 && number >= proofs[at - 1]!.number)) {
    throw new FormatError('CORRUPT', `${FORMAT}: the newest proof is not the first`);
  }
  return {
    set: nameIn(fields, 'set'),
    machine: nameIn(fields, 'machine'),
    point: idIn(fields, 'point'),
    proofs,
  };
}

function keptOf(fields: Fields): KeptProof {
  return {
    number: fields.integer('number', 1, Number.MAX_SAFE_INTEGER),
    verdict: fields.oneOf('verdict', PROOF_VERDICTS),
    state: wordIn(fields, 'state'),
    started: fields.text('started'),
    totalMs: fields.integer('totalMs', 0, Number.MAX_SAFE_INTEGER),
    release: fields.text('release'),
    parts: fields.list('parts', PARTS_MAX, partOf),
  };
}

function partOf(fields: Fields): EvidencePart {
  return {
    name: wordIn(fields, 'name'),
    frames: fields.list('frames', PART_FRAMES_MAX, (frame) => ({
      // A reader allocates this much memory: in a set that is not encrypted the value may be forged.
      length: frame.integer('length', 1, FRAME_LENGTH_MAX),
      size: frame.integer('size', 1, FRAME_LENGTH_MAX),
      digest: frame.bytes('digest', DIGEST_LENGTH),
    })),
  };
}

function wordIn(fields: Fields, name: string): string {
  const found = fields.text(name);
  if (WORD.test(found)) return found;
  throw new FormatError('CORRUPT', `${FORMAT}: its "${name}" is not a word`);
}
