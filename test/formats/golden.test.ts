import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { checkFrame, frameCodec } from '../../src/formats/store/packs/frame.ts';
import { domainKeys, unlockSlot } from '../../src/formats/store/catalog/key-slot.ts';
import { decodeNode } from '../../src/formats/store/packs/node.ts';
import {
  decodeOverlayHeader,
  decodeOverlayRecord,
} from '../../src/formats/store/sessions/overlay-map.ts';
import {
  decodeRecentHeader,
  RECENT_HEADER_LENGTH,
} from '../../src/formats/store/sessions/overlay-recent.ts';
import {
  decodePackEntries,
  decodePackHeader,
  decodePackTrailer,
  PACK_TRAILER_LENGTH,
} from '../../src/formats/store/packs/pack.ts';
import { decodePoint } from '../../src/formats/store/catalog/point.ts';
import { decodeProfile } from '../../src/formats/store/catalog/profile.ts';
import { decodeSession } from '../../src/formats/store/sessions/session.ts';
import { decodeSet } from '../../src/formats/store/catalog/set-record.ts';
import { argon2id } from '../../src/sys/crypto/argon2.ts';
import { pattern } from '../support/random.ts';

// Every format as version 1 wrote it: what a later release has to read for ever.
const path = new URL('../fixtures/formats-1.json', import.meta.url);
const golden = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
const KEYS = domainKeys(pattern(32));

function bytesOf(name: string): Uint8Array {
  return Uint8Array.from(Buffer.from(golden[name]!, 'base64'));
}

test('a frame of version 1 is read, and written as it was', async () => {
  const frame = bytesOf('frame');
  const digest = bytesOf('frameDigest');
  equal(checkFrame(frame).plainLength, 8192);
  const plain = new Uint8Array(8192);
  const codec = frameCodec(KEYS);
  codec.open(frame, plain, digest);
  deepEqual(plain, pattern(8192));
  deepEqual(Uint8Array.from(codec.digest(plain)), digest, 'the name of a block never changes');
});

test('a node and a pack of version 1 are read, and written as they were', async () => {
  const place = { offset: 32, length: 300, digest: pattern(32, 1) };
  deepEqual(decodeNode(bytesOf('node')), {
    level: 0,
    entries: [{ at: 3, span: 2, pack: 9, ...place }],
  });
  deepEqual(decodePackHeader(bytesOf('packHeader')), {
    kind: 'block',
    number: 9,
    domain: pattern(16, 2),
  });
  const footer = bytesOf('packFooter');
  const trailer = decodePackTrailer(footer.subarray(-PACK_TRAILER_LENGTH), 332 + footer.length);
  deepEqual(decodePackEntries(footer.subarray(0, -PACK_TRAILER_LENGTH), trailer), [place]);
});

test('an overlay map of version 1 is read, and written as it was', async () => {
  deepEqual(decodeOverlayHeader(bytesOf('overlayHeader')), { pageLength: 4096, size: 1_048_576 });
  const runs = [{ first: 5, count: 2, state: 'data' }];
  deepEqual(decodeOverlayRecord(bytesOf('overlayRecord'), 256)?.runs, runs);
});

test('recent writes of version 1 are read, and written as they were', async () => {
  const bytes = bytesOf('overlayRecent');
  const bootId = '935b226a-9621-478c-93eb-f96bbc331fea';
  deepEqual(decodeRecentHeader(bytes), { generation: 3, bootId });
  const runs = [{ first: 5, count: 2, state: 'zero' }];
  deepEqual(decodeOverlayRecord(bytes.subarray(RECENT_HEADER_LENGTH), 256)?.runs, runs);
});

test('records of version 1 are read, and written as they were', async () => {
  equal(decodePoint(bytesOf('point'), KEYS.record).disks[0]!.reference!.pack, 9);
  equal(decodeProfile(bytesOf('profile'), KEYS.record).disks[0]!.ranges.length, 1);
  equal(decodeSession(bytesOf('session')).phase, 'ready');
  const set = decodeSet(bytesOf('set'));
  const [byPassphrase, byRecoveryKey] = set.slots;
  ok(byPassphrase?.kind === 'passphrase');
  const stretched = await argon2id(Buffer.from('correct horse'), byPassphrase.kdf, 32);
  for (const [slot, secret] of [
    [byPassphrase, { kind: 'passphrase', stretched }],
    [byRecoveryKey, { kind: 'recovery-key', key: pattern(32, 8) }],
  ] as const) {
    deepEqual(unlockSlot(slot!, secret, set.domain), pattern(32));
  }
});
