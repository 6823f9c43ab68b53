import { deepEqual, equal, throws } from 'node:assert/strict';
import { assert, property, uint8Array } from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import {
  decodeExportContents,
  decodeExportIndex,
  encodeExportContents,
  encodeExportIndex,
} from '../../../src/formats/store/exports/export-contents.ts';
import {
  checkExportBody,
  decodeExportEnd,
  decodeExportHead,
  encodeExportEnd,
  encodeExportHead,
  EXPORT_HEAD_LENGTH,
} from '../../../src/formats/store/exports/export-record.ts';
import { crc32 } from 'node:zlib';

const ID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const BODY = Buffer.from('body');

/** The same with right checksums, so that only what is checked besides tells. */
function forged(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  change(view);
  view.setUint32(32, crc32(copy.subarray(0, 32)), true);
  return copy;
}

test('the head of a record has these bytes, and comes back', async () => {
  const as = { kind: 'frame', set: 258, id: ID, number: 2 ** 33 + 7 } as const;
  const bytes = encodeExportHead(as, BODY);
  equal(
    Buffer.from(bytes).toString('hex'),
    '48466578010402010102030405060708070000000200000004000000b20ba8db80eb9a65',
  );
  deepEqual(decodeExportHead(bytes), { ...as, length: 4, crc: crc32(BODY) });
  checkExportBody(decodeExportHead(bytes), BODY);
  throws(() => checkExportBody(decodeExportHead(bytes), Buffer.from('bodx')), /checksum/);
});

test('a head of a later version is refused by name, one with impossible values as damaged', async () => {
  const bytes = encodeExportHead({ kind: 'point', set: 0, id: ID, number: 0 }, BODY);
  const version = forged(bytes, (view) => view.setUint8(4, 2));
  throws(() => decodeExportHead(version), { code: 'UNSUPPORTED', message: /version 2/ });
  for (const change of [
    (view: DataView) => view.setUint8(5, 8),
    (view: DataView) => view.setUint32(24, 2 ** 31, true),
    (view: DataView) => view.setUint32(20, 2 ** 31, true),
  ]) {
    throws(() => decodeExportHead(forged(bytes, change)), { code: 'CORRUPT' });
  }
});

test('any bytes are a value or a typed error', async () => {
  const decoders = [decodeExportHead, decodeExportEnd, decodeExportContents, decodeExportIndex];
  assert(
    property(uint8Array({ maxLength: 100 }), (bytes) => {
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (cause) {
          if (!(cause instanceof FormatError)) throw cause;
        }
      }
    }),
  );
  throws(() => decodeExportHead(new Uint8Array(EXPORT_HEAD_LENGTH - 1)), { code: 'TRUNCATED' });
});

test('what an export says of its contents comes back', async () => {
  const end = { bytes: 2 ** 40, digest: new Uint8Array(32).fill(7) };
  deepEqual(decodeExportEnd(encodeExportEnd(end)), end);
  const contents = {
    created: '2026-11-30T12:00:00.000Z',
    sets: [{ name: 'nightly', encrypted: true }],
    points: [
      {
        ...{ set: 0, id: 'web1-20261130T120000Z-00000a', machine: 'web1' },
        created: '2026-11-30T11:00:00.000Z',
        disks: [{ name: 'vda', size: 2 ** 40 }],
        ...{ frames: 7, bytes: 70_000 },
      },
    ],
  };
  deepEqual(decodeExportContents(encodeExportContents(contents)), contents);
  const index = {
    points: [
      { set: 0, id: 'a', offset: 77, reason: undefined },
      { set: 1, id: 'b', offset: undefined, reason: 'it is lost' },
    ],
  };
  deepEqual(decodeExportIndex(encodeExportIndex(index)), index);
});
