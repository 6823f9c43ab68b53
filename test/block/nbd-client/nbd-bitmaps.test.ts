import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockError } from '../../../src/block/block-error.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { CHUNKS } from '../../../src/formats/wire/nbd.ts';
import { all } from '../../support/all.ts';
import { chunk, extents, fakeNbdServer, usual } from '../../support/fake-nbd-server.ts';
import { program, without } from '../../support/programs.ts';
import { qemuNbd } from '../../support/qemu-nbd.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const KiB = 1024;
const MiB = 1024 * KiB;
const skip = without('qemu-nbd', 'qemu-img', 'qemu-io', 'nbdinfo');

interface MapEntry {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

/** What libnbd reads from the same server. */
async function oracle(uri: string, context: string): Promise<MapEntry[]> {
  return JSON.parse(await program('nbdinfo', '--json', `--map=${context}`, uri)) as MapEntry[];
}

/** An image with data, then a bitmap, then writes that the bitmap has: at 4 MiB, 5 MiB and the end. */
async function tracked(granularity: string): Promise<string> {
  const image = join(root, `tracked-${granularity}.qcow2`);
  const write = (...commands: readonly string[]) =>
    program('qemu-io', '-f', 'qcow2', ...commands.flatMap((it) => ['-c', it]), image);
  await program('qemu-img', 'create', '-q', '-f', 'qcow2', image, '64M');
  await write('write -P 1 0 1M', 'write -P 1 32M 1M');
  await program('qemu-img', 'bitmap', '-g', granularity, '--add', image, 'since');
  await program('qemu-img', 'bitmap', '--add', '--disable', image, 'other');
  await write(
    'write -P 2 4M 64k',
    'write -P 2 5M 192k',
    'discard 32M 1M',
    'write -P 2 67104768 4096',
  );
  return image;
}

test('the ranges of a dirty bitmap are those that were written, as libnbd reads them', {
  skip,
}, async () => {
  for (const granularity of ['4096', '65536']) {
    const image = await tracked(granularity);
    await using server = await qemuNbd('-r', '-f', 'qcow2', '-B', 'since', image);
    await using disk = await openNbdDisk(server.uri, { bitmaps: ['since'] });
    const found = await all(disk.dirtyRanges('since'));
    const end = granularity === '4096' ? 4 * KiB : 64 * KiB;
    deepEqual(found, [
      { offset: 4 * MiB, length: 64 * KiB },
      { offset: 5 * MiB, length: 192 * KiB },
      { offset: 32 * MiB, length: MiB },
      { offset: 64 * MiB - end, length: end },
    ]);
    const map = await oracle(server.uri, 'qemu:dirty-bitmap:since');
    const dirty = map.filter(({ type }) => type === 1);
    deepEqual(
      found,
      dirty.map(({ offset, length }) => ({ offset, length })),
    );

    // Between the first two is less than 1 MiB.
    const joined = await all(disk.dirtyRanges('since', { gap: MiB }));
    deepEqual(joined, [{ offset: 4 * MiB, length: MiB + 192 * KiB }, ...found.slice(2)]);

    // The same connection tells data from holes too.
    const kinds = await disk.extents(0, 64 * MiB);
    const allocated = await oracle(server.uri, 'base:allocation');
    deepEqual(
      kinds.map(({ offset, length, kind }) => ({ offset, length, kind })),
      merged(allocated),
    );
    const page = new Uint8Array(4 * KiB);
    await disk.read(page, 5 * MiB);
    ok(page.every((byte) => byte === 2));
  }
});

function merged(map: readonly MapEntry[]) {
  const found: { offset: number; length: number; kind: string }[] = [];
  for (const { offset, length, type } of map) {
    const kind = (type & 2) === 0 ? 'data' : 'zero';
    const last = found.at(-1);
    if (last?.kind === kind) last.length += length;
    else found.push({ offset, length, kind });
  }
  return found;
}

test('a bitmap that is not offered is an error with a code, and the disk can be read', {
  skip,
}, async () => {
  const image = await tracked('65536');
  await using server = await qemuNbd('-r', '-f', 'qcow2', '-B', 'other', image);
  await using disk = await openNbdDisk(server.uri, { bitmaps: ['since'] });
  await rejects(all(disk.dirtyRanges('since')), ({ code, message }: BlockError) => {
    equal(code, 'NO_BITMAP');
    match(message, /"since".*it offers "other"/);
    return true;
  });
  const page = new Uint8Array(4 * KiB);
  await disk.read(page, 5 * MiB);
  ok(page.every((byte) => byte === 2));

  await using plain = await qemuNbd('-r', '-f', 'qcow2', image);
  await using without_ = await openNbdDisk(plain.uri, { bitmaps: ['since'] });
  await rejects(all(without_.dirtyRanges('since')), {
    code: 'NO_BITMAP',
    message: /it offers no dirty bitmaps/,
  });
});

test('ranges go on over replies that a server cuts, and contexts are not mixed', async () => {
  const GiB = 1024 * MiB;
  const size = 5 * GiB;
  const socket = join(root, 'cut.sock');
  const asked: number[] = [];
  const contexts = { 'base:allocation': 5, 'qemu:dirty-bitmap:a': 9, 'qemu:dirty-bitmap:b': 3 };
  await using _server = await fakeNbdServer(socket, {
    option: usual(size, contexts),
    request({ cookie, offset, length }) {
      asked.push(offset / GiB);
      const part = { isLast: false };
      return Buffer.concat([
        chunk(cookie, CHUNKS.blockStatus, extents(3, [[GiB / 2, 1]]), part),
        chunk(cookie, CHUNKS.blockStatus, extents(5, [[length, 3]]), part),
        chunk(
          cookie,
          CHUNKS.blockStatus,
          extents(9, [
            [GiB - MiB, 0],
            [MiB, 1],
          ]),
        ),
      ]);
    },
  });
  await using disk = await openNbdDisk(`nbd+unix:///?socket=${socket}`, { bitmaps: ['a', 'b'] });
  const ends = [1, 2, 3, 4, 5].map((it) => ({ offset: it * GiB - MiB, length: MiB }));
  deepEqual(await all(disk.dirtyRanges('a')), ends);
  deepEqual(asked, [0, 1, 2, 3, 4]);
  deepEqual(await all(disk.dirtyRanges('b')), [{ offset: 0, length: size }]);
  deepEqual(await disk.extents(0, size), [{ offset: 0, length: size, kind: 'zero' }]);
});
