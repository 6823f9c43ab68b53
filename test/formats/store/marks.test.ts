import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import { domainKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import {
  decodeMarks,
  decodeSetLock,
  encodeMarks,
  encodeSetLock,
  isNote,
  type MarksRecord,
  NOTE_LENGTH_MAX,
} from '../../../src/formats/store/catalog/marks.ts';
import { pattern } from '../../support/random.ts';

const { record: KEY } = domainKeys(pattern(32));
const OTHER = domainKeys(pattern(32, 1)).record;
const MARKS: MarksRecord = {
  set: 'nightly',
  point: 'web1-20261129T020000Z-3f9c2a',
  counter: 7,
  note: 'before the migration — größer, 移行前',
  tags: ['gold', 'q4'],
  protected: true,
  holds: [{ name: 'legal-2026', since: '2026-11-29T02:00:00.000Z' }],
  lockedUntil: '2027-01-01T00:00:00.000Z',
};

test('marks say after decoding what was written, and only under the key of the set', async () => {
  const none = { ...MARKS, note: undefined, tags: [], holds: [], lockedUntil: undefined };
  for (const marks of [MARKS, none]) deepEqual(decodeMarks(encodeMarks(marks, KEY), KEY), marks);
  throws(() => decodeMarks(encodeMarks(MARKS, KEY), OTHER), /fails its authentication/);
  deepEqual(decodeMarks(encodeMarks(MARKS, KEY), undefined), MARKS);
});

test('no damaged byte of marks or of the lock of a set is read as another value', async () => {
  const whole = encodeMarks(MARKS, KEY);
  const lock = encodeSetLock({ set: 'nightly', counter: 1, days: 30 }, KEY);
  for (const [bytes, decode] of [
    [whole, (it: Uint8Array) => decodeMarks(it, undefined)],
    [lock, (it: Uint8Array) => decodeSetLock(it, undefined)],
  ] as const) {
    // Behind the line is the authentication, which needs the key.
    const end = bytes.indexOf(0x0a);
    for (let at = 0; at < end; at++) {
      const damaged = Uint8Array.from(bytes);
      damaged[at]! ^= 1 << (at % 8);
      throws(() => decode(damaged), FormatError, `byte ${at}`);
      throws(() => decode(bytes.subarray(0, at)), FormatError, `cut at ${at}`);
    }
  }
});

test('what a hostile writer puts into marks is refused, also under the key', async () => {
  const hostile: readonly Partial<Record<keyof MarksRecord, unknown>>[] = [
    { set: '../x' },
    { point: 'a/b' },
    { counter: 0 },
    { note: 'a\u001b[2Jb' },
    { note: 'two\nlines' },
    { note: 'x'.repeat(NOTE_LENGTH_MAX + 1) },
    { note: 'a\u202eb' },
    { tags: ['a/b'] },
    { tags: ['a', 'a'] },
    { tags: Array.from({ length: 17 }, (_, at) => `t${at}`) },
    { protected: 'no' },
    { holds: [{ name: 'a b', since: MARKS.holds[0]!.since }] },
    { holds: [{ name: 'a', since: 'yesterday' }] },
    { holds: [MARKS.holds[0], MARKS.holds[0]] },
    { holds: Array.from({ length: 17 }, (_, at) => ({ ...MARKS.holds[0], name: `h${at}` })) },
    { lockedUntil: '2027-13-01T00:00:00.000Z' },
    { lockedUntil: '2027-01-01' },
    { lockedUntil: '+275760-09-13T00:00:00.000Z' },
  ];
  for (const change of hostile) {
    const bytes = encodeMarks({ ...MARKS, ...(change as Partial<MarksRecord>) }, KEY);
    throws(() => decodeMarks(bytes, KEY), FormatError, JSON.stringify(change));
  }
  throws(
    () => decodeSetLock(encodeSetLock({ set: 'a', counter: 1, days: 3661 }, KEY), KEY),
    FormatError,
  );
  throws(
    () => decodeSetLock(encodeSetLock({ set: 'a', counter: 1, days: -1 }, KEY), KEY),
    FormatError,
  );
});

test('a note is one line that a terminal shows as it is', async () => {
  ok(isNote('Before the migration, see ticket #4711 (größer).'));
  for (const text of ['', 'a\tb', 'a\u007f', '\u200b', '\u2028', 'a\u2066b', '\ud800']) {
    equal(isNote(text), false, JSON.stringify(text));
  }
});
