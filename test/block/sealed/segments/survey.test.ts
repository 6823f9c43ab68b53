import { deepEqual, equal, ok } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { openLogFiles } from '../../../../src/block/sealed/segments/log-files.ts';
import { prepareSealedOverlay } from '../../../../src/block/sealed/sealed-overlay.ts';
import { surveySegment } from '../../../../src/block/sealed/segments/survey.ts';
import {
  encodeBirth,
  segmentsDigest,
} from '../../../../src/formats/store/sessions/overlay-bodies.ts';
import { publicKeys } from '../../../../src/formats/store/catalog/key-slot.ts';
import {
  encodePreface,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
} from '../../../../src/formats/store/sessions/overlay-log.ts';
import type { File } from '../../../../src/sys/files/file-system.ts';
import { systemRandom } from '../../../../src/sys/base/random.ts';
import { realFileSystem } from '../../../../src/sys/files/real-file-system.ts';
import { pattern } from '../../../support/random.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const directory = temporaryDirectory();
const files = realFileSystem();
const random = systemRandom();
const PLACES = 16;
const SALT = pattern(32);
const DURABLE = { segment: 1, place: 0 };

/** What a segment of these pages is surveyed to hold, after `alter` changed its bytes. */
async function survey(disk: string, pages: readonly Uint8Array[], alter: (bytes: Buffer) => void) {
  const { log, file, codec } = await segment(disk, pages, alter);
  return await surveySegment(log, { number: 1, salt: SALT, codec }, file, undefined);
}

async function segment(disk: string, pages: readonly Uint8Array[], alter: (bytes: Buffer) => void) {
  const size = 100 * PAGE_LENGTH;
  await prepareSealedOverlay({ files, random, directory, disk, size, suite: 1, places: PLACES });
  const key = { suite: 1, overlayKey: publicKeys().overlay } as const;
  const log = await openLogFiles({ files, directory, disk, session: 'session', key }, size);
  const codec = log.codec({ of: 'segment', number: 1, salt: SALT });
  const bytes = Buffer.alloc(PLACES * PLACE_LENGTH);
  const preface = encodePreface({ of: 'segment', suite: 1, number: 1, salt: SALT });
  for (const place of [0, PLACES - 1]) bytes.set(preface, place * PLACE_LENGTH);
  for (const [at, birth] of encodeBirth([{ number: 1, salt: SALT }]).entries()) {
    const slot = { place: 1 + at, kind: 'birth', page: 1, durable: DURABLE } as const;
    codec.seal(bytes.subarray(slot.place * PLACE_LENGTH), slot, birth);
  }
  let place = 5;
  for (const page of pages) {
    const into = bytes.subarray(place * PLACE_LENGTH);
    codec.seal(into, { place, kind: 'pages', page: place, durable: DURABLE }, page);
    place += page.length / PAGE_LENGTH;
  }
  alter(bytes);
  const file = await files.create(log.segmentPath(1));
  await file.write(bytes, 0);
  return { log, file, codec };
}

test('a quad that fails is one damage, of the pages that its trailer names', async () => {
  const { survey: found, list } = await survey(
    'vda',
    [pattern(QUAD_LENGTH), pattern(4096)],
    (it) => {
      it[5 * PLACE_LENGTH]! ^= 1;
    },
  );
  deepEqual(
    found.failed.filter(({ kind }) => kind),
    [{ place: 5, kind: 'pages', page: 5, n: 4, isUnread: false }],
  );
  deepEqual(
    found.failed.map(({ place }) => place).filter((place) => place > 5 && place < 9),
    [],
  );
  equal(found.table?.kindAt(9), 'pages');
  ok(list);
  deepEqual(list.ranges, [{ first: 1, last: 1 }]);
  deepEqual(Buffer.from(list.digest), segmentsDigest([{ number: 1, salt: SALT }]));
});

test('what a guest writes into a page hides no slot, also where the one before is damaged', async () => {
  // Where the trailer of a quad would lie that begins three places before.
  const page = pattern(4096);
  const at = QUAD_LENGTH - 3 * PLACE_LENGTH;
  page.fill(0, at, at + 40);
  page[at + 22] = 1;
  page[at + 23] = 4;
  const crc = crc32(page.subarray(at + 16, at + 32));
  new DataView(page.buffer).setUint32(at + 32, crc, true);
  const pages = [pattern(4096), pattern(4096), pattern(4096), page];
  const { survey: found } = await survey('vdb', pages, (it) => {
    it.fill(7, 5 * PLACE_LENGTH, 6 * PLACE_LENGTH);
  });
  deepEqual(
    [5, 6, 7, 8].map((place) => found.table?.kindAt(place)),
    [undefined, 'pages', 'pages', 'pages'],
  );
  deepEqual(
    found.failed.find(({ place }) => place === 5),
    {
      place: 5,
      kind: undefined,
      page: 0,
      n: 1,
      isUnread: false,
    },
  );
});

test('of a segment with a summary only the slots are read that hold no pages', async () => {
  const { log, file, codec } = await segment(
    'vdc',
    [pattern(QUAD_LENGTH), pattern(4096)],
    () => {},
  );
  const segment1 = { number: 1, salt: SALT, codec };
  const { survey: whole, list } = await surveySegment(log, segment1, file, undefined);
  const read: number[] = [];
  const counting: File = {
    ...file,
    read(into, at) {
      read.push(at / PLACE_LENGTH, into.length / PLACE_LENGTH);
      return file.read(into, at);
    },
  };
  const again = await surveySegment(log, segment1, counting, whole.table);
  deepEqual(again.list, list);
  deepEqual(again.survey.failed, []);
  deepEqual(read, [1, 1, 2, 1, 3, 1]);
});
