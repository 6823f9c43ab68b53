import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openLogFiles } from '../../../../src/block/sealed/segments/log-files.ts';
import { prepareSealedOverlay } from '../../../../src/block/sealed/sealed-overlay.ts';
import { segments as noSegments } from '../../../../src/block/sealed/segments/segments.ts';
import { publicKeys } from '../../../../src/formats/store/catalog/key-slot.ts';
import { PAGE_LENGTH, PLACE_LENGTH } from '../../../../src/formats/store/sessions/overlay-log.ts';
import type { FileSystem } from '../../../../src/sys/files/file-system.ts';
import { systemRandom } from '../../../../src/sys/base/random.ts';
import { realFileSystem } from '../../../../src/sys/files/real-file-system.ts';
import { pattern } from '../../../support/random.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const random = systemRandom();
const SLOT = { place: 5, kind: 'pages', page: 7, durable: { segment: 1, place: 0 } } as const;

async function oneSegment() {
  const directory = temporaryDirectory();
  const disk = 'vda';
  const size = 100 * PAGE_LENGTH;
  const opened: string[] = [];
  const real = realFileSystem();
  const files: FileSystem = {
    ...real,
    open(path, access) {
      if (path.endsWith('.seg')) opened.push(path);
      return real.open(path, access);
    },
  };
  await prepareSealedOverlay({ files, random, directory, disk, size, suite: 2, places: 16 });
  const key = { suite: 2, overlayKey: publicKeys().overlay } as const;
  const log = await openLogFiles({ files, directory, disk, session: 's', key }, size);
  await (await files.create(log.segmentPath(1)))[Symbol.asyncDispose]();
  const all = noSegments(log);
  return { all, segment: all.add(1, pattern(32), undefined), opened };
}

test('a segment that was freed is not found by a late reader, though its file may still be there', async () => {
  const { all, segment, opened } = await oneSegment();
  await using _all = all;
  await all.use(segment, async () => {});
  equal(opened.length, 1);
  await all.remove(segment);
  await rejects(
    all.use(segment, async () => {}),
    { name: 'SystemError', code: 'NOT_FOUND', message: /vda\.00000001\.seg: it was freed/ },
  );
  equal(opened.length, 1, 'no handle keeps its space');
  // Its index is given to the next one: a late reader does not get that one's file either.
  const next = all.add(2, pattern(32, 1), undefined);
  equal(next.index, segment.index);
  await rejects(
    all.use(segment, async () => {}),
    { code: 'NOT_FOUND' },
  );
});

test('a reader that began before a segment was freed reads it to the end', async () => {
  const { all, segment } = await oneSegment();
  await using _all = all;
  const bytes = new Uint8Array(PLACE_LENGTH);
  segment.codec.seal(bytes, SLOT, pattern(PAGE_LENGTH));
  const { promise, resolve } = Promise.withResolvers<void>();
  const read = all.use(segment, async () => {
    await promise;
    const body = new Uint8Array(PAGE_LENGTH);
    return [segment.codec.open(bytes, SLOT.place, body)?.page, Buffer.from(body)] as const;
  });
  const removed = all.remove(segment);
  await rejects(
    all.use(segment, async () => {}),
    { code: 'NOT_FOUND' },
  );
  resolve();
  deepEqual(await read, [SLOT.page, Buffer.from(pattern(PAGE_LENGTH))]);
  await removed;
});
