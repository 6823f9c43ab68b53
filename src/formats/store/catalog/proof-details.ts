import { utf8 } from '../../../lib/bytes.ts';
import { MiB } from '../../../lib/sizes.ts';
import { FormatError } from '../../format-error.ts';
import { cutText, type Fields, parseFields } from '../base/json-record.ts';
import {
  PROOF_ACCELERATORS,
  PROOF_CHECK_OUTCOMES,
  PROOF_CHECKS_MAX,
  PROOF_WITHOUT_MAX,
  type ProofAccelerator,
  type ProofCheck,
  type ProofResult,
  type ProofTimings,
} from './proof-result.ts';

/* The part "details" of a proof's evidence, one JSON object. proof.md. */

export interface ProofDetails {
  readonly reason: string;
  readonly accelerator: ProofAccelerator;
  readonly checks: readonly KeptCheck[];
  readonly timings: ProofTimings;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly without: readonly string[];
}

/** `kind`: a ProofCheckKind, or one that a later release has added. */
export type KeptCheck = Omit<ProofCheck, 'kind'> & { readonly kind: string };

const LENGTH_MAX = MiB;

export function encodeDetails(result: ProofResult): Uint8Array {
  const { reason, accelerator, checks, timings, readBytes, writtenBytes, without } = result;
  const details: ProofDetails = {
    ...{ reason, accelerator, timings, readBytes, writtenBytes },
    checks: checks.slice(0, PROOF_CHECKS_MAX),
    without: without.slice(0, PROOF_WITHOUT_MAX),
  };
  const cut = (_name: string, value: unknown) =>
    typeof value === 'string' ? cutText(value) : value;
  return utf8(JSON.stringify(details, cut));
}

/** Throws FormatError. */
export function decodeDetails(bytes: Uint8Array): ProofDetails {
  if (bytes.length > LENGTH_MAX) {
    throw new FormatError('CORRUPT', `details of a proof of ${bytes.length} bytes`);
  }
  const fields = parseFields(bytes);
  return {
    reason: fields.text('reason'),
    accelerator: fields.oneOf('accelerator', PROOF_ACCELERATORS),
    checks: fields.list('checks', PROOF_CHECKS_MAX, checkOf),
    timings: timingsOf(fields.object('timings')),
    readBytes: countOf(fields, 'readBytes'),
    writtenBytes: countOf(fields, 'writtenBytes'),
    without: fields.texts('without', PROOF_WITHOUT_MAX),
  };
}

function checkOf(fields: Fields): KeptCheck {
  return {
    kind: fields.text('kind'),
    what: fields.text('what'),
    outcome: fields.oneOf('outcome', PROOF_CHECK_OUTCOMES),
    afterMs: countOf(fields, 'afterMs'),
    detail: fields.text('detail'),
  };
}

function timingsOf(fields: Fields): ProofTimings {
  return {
    preparedMs: countOf(fields, 'preparedMs'),
    ...(fields.has('bootMs') && { bootMs: countOf(fields, 'bootMs') }),
    totalMs: countOf(fields, 'totalMs'),
  };
}

function countOf(fields: Fields, name: string): number {
  return fields.integer(name, 0, Number.MAX_SAFE_INTEGER);
}
