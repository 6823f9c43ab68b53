import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import { domainKeys, publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import {
  decodeProofRecord,
  encodeProofRecord,
  type ProofRecord,
} from '../../../src/formats/store/catalog/proof.ts';
import { decodeDetails } from '../../../src/formats/store/catalog/proof-details.ts';
import {
  checkEvidence,
  openEvidence,
  sealEvidence,
} from '../../../src/formats/store/catalog/proof-evidence.ts';
import { FAILED_PROOF, PROOF } from '../../support/proof-result.ts';
import { pattern } from '../../support/random.ts';

const KEYS = domainKeys(pattern(32));

function recordWith(parts: ProofRecord['proofs'][number]['parts']): ProofRecord {
  const { verdict, state, started, timings } = PROOF;
  const proof = { verdict, state, started, totalMs: timings.totalMs, release: '2026.11.0' };
  return {
    ...{ set: 'nightly', machine: 'web1', point: 'web1-20261129T020000Z-3f9c2a' },
    proofs: [
      { ...proof, number: 7, parts },
      { ...proof, number: 4, parts: [] },
    ],
  };
}

function failsWell(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    ok(error instanceof FormatError, String(error));
  }
}

test('evidence and its record say after decoding what was seen', async () => {
  for (const keys of [KEYS, publicKeys()]) {
    for (const result of [PROOF, FAILED_PROOF]) {
      const { bytes, parts } = sealEvidence(result, keys, (length) => pattern(length));
      const record = decodeProofRecord(
        encodeProofRecord(recordWith(parts), keys.record),
        keys.record,
      );
      deepEqual(record, recordWith(parts));
      checkEvidence(bytes, record.proofs[0]!.parts);
      const { screenshot, small, ...rest } = openEvidence(bytes, parts, keys);
      const { screen, screenText, verdict: _, state: __, started: ___, ...seen } = result;
      deepEqual(rest, { ...seen, screenText });
      equal(
        Buffer.from(screenshot ?? [])
          .subarray(1, 4)
          .toString(),
        screen ? 'PNG' : '',
      );
      deepEqual(small && [small.width, small.height], screen && [160, 100]);
    }
  }
});

test('in an encrypted set nothing of the evidence can be read, and none of it be exchanged', async () => {
  const { bytes, parts } = sealEvidence(PROOF, KEYS, (length) => pattern(length));
  const text = Buffer.concat([bytes, encodeProofRecord(recordWith(parts), KEYS.record)]).toString(
    'latin1',
  );
  for (const secret of [PROOF.reason, PROOF.serial, PROOF.screenText!, 'login prompt']) {
    ok(!text.includes(secret), secret);
  }
  const other = sealEvidence(FAILED_PROOF, KEYS, (length) => pattern(length));
  throws(() => openEvidence(other.bytes, parts, KEYS), FormatError);
  const named = parts.map(({ name, frames }) => ({
    ...{ name, frames: frames.map((frame) => ({ ...frame, digest: pattern(32, 9) })) },
  }));
  throws(() => openEvidence(bytes, named, KEYS), FormatError);
  throws(() => openEvidence(bytes, parts, domainKeys(pattern(32, 1))), FormatError);
});

test('of long texts the end is kept, and a part of a later release is left alone', async () => {
  const long = { ...PROOF, serial: `begin ${'é'.repeat(100_000)} panic` };
  const { bytes, parts } = sealEvidence(long, KEYS, (length) => pattern(length));
  const { serial } = openEvidence(bytes, parts, KEYS);
  ok(serial.length <= 65_536 && serial.endsWith('é panic'), `${serial.length}`);
  const later = parts.map((part) => (part.name === 'serial' ? { ...part, name: 'sound' } : part));
  equal(openEvidence(bytes, later, KEYS).serial, '');
});

test('damaged and arbitrary proofs are a value or a FormatError', async () => {
  const { bytes, parts } = sealEvidence(FAILED_PROOF, KEYS, (length) => pattern(length));
  const record = encodeProofRecord(recordWith(parts), KEYS.record);
  for (let at = 0; at < record.length; at++) {
    const damaged = Uint8Array.from(record);
    damaged[at]! ^= 1 << (at % 8);
    failsWell(() =>
      decodeProofRecord(damaged.subarray(0, at % 3 === 0 ? at : undefined), undefined),
    );
    throws(() => decodeProofRecord(damaged, KEYS.record), FormatError, `byte ${at}`);
  }
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Uint8Array.from(bytes);
    damaged[at]! ^= 1 << (at % 8);
    throws(() => checkEvidence(damaged, parts), FormatError, `byte ${at}`);
  }
  fc.assert(fc.property(fc.json(), (json) => failsWell(() => decodeDetails(Buffer.from(json)))));
});
