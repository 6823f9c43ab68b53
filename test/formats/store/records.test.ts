import { deepEqual, equal, match, ok, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import type { Placement } from '../../../src/formats/store/sessions/placement.ts';
import { FormatError } from '../../../src/formats/format-error.ts';
import {
  domainKeys,
  formatRecoveryKey,
  lockSlot,
  formatSetKey,
  parseRecoveryKey,
  parseSetKey,
  type SlotSecret,
  unlockSlot,
} from '../../../src/formats/store/catalog/key-slot.ts';
import { decodeHead, encodeHead } from '../../../src/formats/store/catalog/head.ts';
import {
  decodeStoreRecord,
  encodeStoreRecord,
} from '../../../src/formats/store/catalog/store-record.ts';
import { decodePoint, encodePoint } from '../../../src/formats/store/catalog/point.ts';
import { decodeProfile, encodeProfile } from '../../../src/formats/store/catalog/profile.ts';
import {
  decodeSession,
  encodeSession,
  type SessionRecord,
} from '../../../src/formats/store/sessions/session.ts';
import {
  decodeSet,
  encodeSet,
  type SetRecord,
  isSealedBy,
  sealSet,
} from '../../../src/formats/store/catalog/set-record.ts';
import { POINT } from '../../support/point-record.ts';
import { pattern } from '../../support/random.ts';

const KEY = domainKeys(pattern(32)).record;

test('a recovery point is readable without the key, and authentic only with it', async () => {
  const bytes = encodePoint(POINT, KEY);
  deepEqual(decodePoint(bytes, KEY), POINT);
  deepEqual(decodePoint(bytes, undefined), POINT);
  for (let at = 0; at < bytes.length; at++) {
    const altered = bytes.slice();
    altered[at]! ^= 2;
    throws(() => decodePoint(altered, KEY), FormatError);
    throws(() => decodePoint(bytes.slice(0, at), KEY), FormatError);
  }
  throws(() => decodePoint(bytes, domainKeys(pattern(32, 1)).record), /authentication/);
});

test('heads, and what a store needs: each flipped bit and each cut is noticed', async () => {
  const link = { id: 'vm-1', sequence: 4, digest: pattern(32, 6) };
  const head = { set: 'nightly', machine: 'vm', point: link, points: [link] };
  const first = { ...head, point: undefined, points: [] };
  for (const it of [head, first]) deepEqual(decodeHead(encodeHead(it, KEY), KEY), it);
  const store = { id: '0'.repeat(32), created: POINT.created, version: 2 } as const;
  const record = { ...store, needs: { read: ['a'], write: ['a', 'b'] } };
  deepEqual(decodeStoreRecord(encodeStoreRecord(record)), record);
  const bare = { ...store, version: 1, needs: { read: [], write: [] } } as const;
  deepEqual(decodeStoreRecord(encodeStoreRecord(bare)), bare);
  const cases: readonly [Uint8Array, (bytes: Uint8Array) => unknown][] = [
    [encodeHead(head, KEY), (bytes) => decodeHead(bytes, KEY)],
    [encodeStoreRecord(record), decodeStoreRecord],
  ];
  for (const [bytes, decode] of cases) {
    const whole = decode(bytes);
    for (let at = 0; at < bytes.length; at++) {
      const altered = bytes.slice();
      altered[at]! ^= 2;
      // In the space between fields nothing is said.
      if (/\s/.test(String.fromCharCode(bytes[at]!))) tolerated(() => decode(altered), whole);
      else throws(() => decode(altered), FormatError);
      if (at < bytes.length - 2) throws(() => decode(bytes.slice(0, at)), FormatError);
    }
  }
});

/** What it was, or a FormatError. */
function tolerated(decode: () => unknown, whole: unknown): void {
  let found: unknown;
  try {
    found = decode();
  } catch (cause) {
    ok(cause instanceof FormatError);
    return;
  }
  deepEqual(found, whole);
}

test('any JSON in place of a record is refused by name of the field', async () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      const bytes = Buffer.from(`${json.replaceAll('\n', ' ')}\n${'0'.repeat(64)}\n`);
      throws(() => decodePoint(bytes, undefined), FormatError);
      throws(() => decodeSet(bytes), FormatError);
      throws(() => decodeSession(bytes), FormatError);
      throws(() => decodeHead(bytes, undefined), FormatError);
      throws(() => decodeStoreRecord(bytes), FormatError);
    }),
    { numRuns: 500 },
  );
  const unknown = Buffer.from(`{"format":"holdfast-point","version":9}\n${'0'.repeat(64)}\n`);
  throws(() => decodePoint(unknown, undefined), { code: 'UNSUPPORTED' });
});

test('profiles and sessions decode to what was encoded, and damage is refused', async () => {
  const profile = {
    machine: 'vm1',
    disks: [{ name: 'vda', ranges: [{ offset: 0, length: 4096 }] }],
  };
  deepEqual(decodeProfile(encodeProfile(profile, KEY), KEY), profile);
  const session: SessionRecord = {
    id: 'vm1-aabbcc',
    created: POINT.created,
    set: 'nightly',
    point: POINT.id,
    machine: 'vm1',
    disks: [{ name: 'vda', size: 512 }],
    listen: 'unix:/x',
    tls: false,
    nfs: undefined,
    whenFull: 'pause',
    phase: 'keeping',
    keepAs: 'vm1-x',
    sealed: { begun: ['vda'], overPlain: false },
    placement: undefined,
  };
  deepEqual(decodeSession(encodeSession(session)), session);
});

test('a session with a placement is of version 2, and only that one has its phases', async () => {
  const disk = { name: 'vda', shown: undefined, reserved: undefined, place: undefined };
  const placement: Placement = {
    hypervisor: 'kvm1',
    plan: {
      ...{ name: 'vm1', uuid: 'u', networks: {}, autostart: false },
      ...{ powerOn: true, replaces: undefined, moves: { kind: 'asked' }, writes: 'here' },
    },
    ...{ pool: undefined, goal: 'run', stop: 'shutdown', machine: undefined, aside: undefined },
    offline: undefined,
    ...{ disks: [{ ...disk, pivoted: false }], lostCopies: 0, waits: undefined, run: undefined },
    ...{ firstOn: undefined, firstHeartbeat: undefined, wasToMove: false },
  };
  const session: SessionRecord = {
    ...{ id: 'vm1-aabbcc', created: POINT.created, set: 'nightly', point: POINT.id },
    ...{ machine: 'vm1', disks: [{ name: 'vda', size: 512 }], listen: 'unix:/x', tls: false },
    ...{ nfs: undefined, whenFull: 'pause', phase: 'placing', keepAs: undefined },
    ...{ sealed: undefined, placement },
  };
  deepEqual(decodeSession(encodeSession(session)), session);
  const text = Buffer.from(encodeSession(session)).toString();
  match(text, /"version": 2/);
  const { placement: _, ...plain } = session;
  const placing = encodeSession({ ...plain, placement: undefined });
  throws(() => decodeSession(placing), { code: 'CORRUPT' });
  // A text that a hypervisor gave.
  const long = encodeSession({
    ...session,
    placement: { ...placement, machine: 'x'.repeat(1025) },
  });
  throws(() => decodeSession(long), { code: 'CORRUPT', message: /longer than 1024/ });
  const { sum: _sum, ...unsummed } = JSON.parse(text) as Record<string, unknown>;
  throws(() => decodeSession(Buffer.from(JSON.stringify(unsummed))), /checksum is missing/);
  const later = Buffer.from(JSON.stringify({ ...unsummed, version: 3 }));
  throws(() => decodeSession(later), { code: 'UNSUPPORTED', message: /reads 1 to 2/ });
});

const KDF = { memoryKiB: 64, passes: 1, salt: pattern(16) };

function slotOf(secret: SlotSecret, domain: Uint8Array) {
  return lockSlot(pattern(32, 1), secret, { domain, nonce: pattern(12), kdf: KDF });
}

test('a slot opens for its own secret and set only', async () => {
  const domain = pattern(16, 2);
  const right: SlotSecret = { kind: 'passphrase', stretched: pattern(32, 4) };
  const wrong: SlotSecret = { kind: 'passphrase', stretched: pattern(32, 5) };
  const recovery: SlotSecret = { kind: 'recovery-key', key: pattern(32, 8) };
  const slot = slotOf(right, domain);
  deepEqual(Uint8Array.from(unlockSlot(slot, right, domain)!), pattern(32, 1));
  equal(unlockSlot(slot, wrong, domain), undefined);
  equal(unlockSlot(slot, right, pattern(16, 3)), undefined);
  equal(unlockSlot(slot, recovery, domain), undefined);
  const spare = slotOf(recovery, domain);
  deepEqual(Uint8Array.from(unlockSlot(spare, recovery, domain)!), pattern(32, 1));
  equal(unlockSlot(spare, { kind: 'recovery-key', key: pattern(32, 9) }, domain), undefined);
});

test('the key of a set survives a person, and mistypes are found', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 48, maxLength: 48 }), fc.nat(), (bytes, salt) => {
      const key = { dataKey: bytes.slice(0, 32), domain: bytes.slice(32) };
      const text = formatSetKey(key);
      equal(text.split('-').length, 22);
      deepEqual(parseSetKey(text), key);
      deepEqual(parseSetKey(` ${text.toLowerCase().replaceAll('-', '\n')}\n`), key);
      equal(parseRecoveryKey(text), undefined);
      const at = salt % text.length;
      if (text[at] === '-') return;
      const typo = text[at] === 'Z' ? 'Y' : 'Z';
      equal(parseSetKey(text.slice(0, at) + typo + text.slice(at + 1)), undefined);
    }),
    { numRuns: 200 },
  );
});

test('sets keep their slots, and hostile ones cannot take all memory', async () => {
  const domain = pattern(16);
  const unsealed = {
    name: 'nightly',
    created: POINT.created,
    domain,
    cutting: { kind: 'content', pagesMin: 4, pagesAverage: 16, pagesMax: 32 },
    slots: [
      slotOf({ kind: 'passphrase', stretched: pattern(32, 4) }, domain),
      slotOf({ kind: 'recovery-key', key: pattern(32) }, domain),
    ],
  } as const;
  const set: SetRecord = sealSet(unsealed, 7, KEY);
  ok(isSealedBy(set, KEY));
  ok(!isSealedBy({ ...set, slots: set.slots.slice(1) }, KEY));
  ok(!isSealedBy(set, pattern(32, 3)));
  const decoded = decodeSet(encodeSet(set));
  deepEqual(decoded, set);
  const kdf = { ...KDF, memoryKiB: 2 ** 32 - 1 };
  const greedy = encodeSet({ ...set, slots: [{ ...set.slots[0]!, kind: 'passphrase', kdf }] });
  throws(() => decodeSet(greedy), { code: 'CORRUPT', message: /memoryKiB/ });
});

test('recovery keys survive a person, and mistypes are found', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.nat(), (key, salt) => {
      const text = formatRecoveryKey(key);
      equal(text.length, 69);
      deepEqual(parseRecoveryKey(text), key);
      deepEqual(parseRecoveryKey(` ${text.toLowerCase().replaceAll('-', ' ')}\n`), key);
      deepEqual(parseRecoveryKey(text.replaceAll('0', 'o').replaceAll('1', 'l')), key);
      const at = salt % text.length;
      if (text[at] === '-') return;
      const typo = text[at] === 'Z' ? 'Y' : 'Z';
      equal(parseRecoveryKey(text.slice(0, at) + typo + text.slice(at + 1)), undefined);
    }),
    { numRuns: 200 },
  );
  ok(parseRecoveryKey('') === undefined);
});
