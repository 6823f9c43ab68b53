import { throws } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import {
  decodeFilesLogHeader,
  encodeFilesLogHeader,
} from '../../src/formats/store/sessions/files-log.ts';
import {
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  frameCodec,
  parseFrameHeader,
} from '../../src/formats/store/packs/frame.ts';
import { domainKeys, publicKeys } from '../../src/formats/store/catalog/key-slot.ts';
import { decodeNode, encodeNode } from '../../src/formats/store/packs/node.ts';
import {
  decodeHead,
  decodePreface,
  encodeHead,
  encodePreface,
} from '../../src/formats/store/sessions/overlay-log.ts';
import {
  decodeOverlayHeader,
  decodeOverlayRecord,
  encodeOverlayHeader,
  encodeOverlayRecord,
} from '../../src/formats/store/sessions/overlay-map.ts';
import {
  decodeRecentHeader,
  encodeRecentHeader,
} from '../../src/formats/store/sessions/overlay-recent.ts';
import { decodePackHeader, encodePackHeader } from '../../src/formats/store/packs/pack.ts';
import { pattern } from '../support/random.ts';

/** With the checksum over `bytes[from, to)` made good at `crcAt`: only the spare bytes are wrong. */
interface Format {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly spare: readonly (readonly [from: number, to: number])[];
  readonly crc?: { readonly from: number; readonly to: number; readonly at: number };
  readonly decode: (bytes: Uint8Array) => unknown;
}

function frame(keys: Parameters<typeof frameCodec>[0]): Uint8Array {
  const codec = frameCodec(keys);
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const plain = pattern(4096);
  const as = { kind: 'block', digest: codec.digest(plain), nonce: pattern(24) } as const;
  return into.slice(0, codec.seal(plain, into, as));
}

const ENTRY = { at: 3, span: 2, pack: 1, offset: 2, length: 3, digest: pattern(32) };
const BOOT_ID = '935b226a-9621-478c-93eb-f96bbc331fea';
const HEADER_CRC = { from: 0, to: 76, at: 76 };

const FORMATS: readonly Format[] = [
  {
    name: 'frame of an encrypted set',
    bytes: frame(domainKeys(pattern(32))),
    spare: [[7, 8]],
    crc: HEADER_CRC,
    decode: (bytes) => parseFrameHeader(bytes.subarray(0, FRAME_HEADER_LENGTH)),
  },
  {
    name: 'frame that is not encrypted',
    bytes: frame(publicKeys()),
    spare: [
      [7, 8],
      [48, 72],
    ],
    crc: HEADER_CRC,
    decode: (bytes) => parseFrameHeader(bytes.subarray(0, FRAME_HEADER_LENGTH)),
  },
  {
    name: 'node',
    bytes: encodeNode({ level: 0, entries: [ENTRY] }),
    spare: [
      [8, 16],
      [18, 20],
    ],
    decode: decodeNode,
  },
  {
    name: 'pack header',
    bytes: encodePackHeader({ kind: 'node', number: 7, domain: pattern(16) }),
    spare: [[6, 8]],
    crc: { from: 0, to: 28, at: 28 },
    decode: decodePackHeader,
  },
  {
    name: 'overlay map header',
    bytes: encodeOverlayHeader({ pageLength: 4096, size: 2 ** 30 }),
    spare: [[5, 8]],
    crc: { from: 0, to: 20, at: 20 },
    decode: decodeOverlayHeader,
  },
  {
    name: 'overlay run, whose state also is one of two',
    bytes: encodeOverlayRecord([{ first: 1, count: 1, state: 'data' }]),
    spare: [
      [14, 15],
      [15, 16],
    ],
    crc: { from: 4, to: 20, at: 0 },
    decode: (bytes) => decodeOverlayRecord(bytes, 100),
  },
  {
    name: 'overlay log head',
    bytes: encodeHead({ suite: 2, size: 2 ** 30, overlayId: pattern(16), places: 16_384 }),
    spare: [[6, 8]],
    crc: { from: 0, to: 40, at: 40 },
    decode: decodeHead,
  },
  {
    name: 'overlay log preface',
    bytes: encodePreface({ of: 'segment', suite: 2, number: 7, salt: pattern(32) }),
    spare: [
      [6, 8],
      [48, 4136],
    ],
    crc: { from: 0, to: 44, at: 44 },
    decode: decodePreface,
  },
  {
    name: 'recent writes header',
    bytes: encodeRecentHeader({ generation: 1, bootId: BOOT_ID }),
    spare: [[5, 8]],
    crc: { from: 0, to: 52, at: 52 },
    decode: decodeRecentHeader,
  },
  {
    name: 'files log header',
    bytes: encodeFilesLogHeader({ sealed: true }),
    spare: [[5, 8]],
    decode: decodeFilesLogHeader,
  },
];

for (const { name, bytes, spare, crc, decode } of FORMATS) {
  test(`spare bytes that are not zero are found: ${name}`, async () => {
    decode(bytes);
    for (const [from, to] of spare) {
      for (let at = from; at < to; at++) {
        const altered = Uint8Array.from(bytes);
        altered[at]! ^= 4;
        if (crc) {
          const sum = crc32(altered.subarray(crc.from, crc.to));
          new DataView(altered.buffer).setUint32(crc.at, sum, true);
        }
        throws(() => decode(altered), { name: 'FormatError', code: 'CORRUPT' }, `byte ${at}`);
      }
    }
  });
}
