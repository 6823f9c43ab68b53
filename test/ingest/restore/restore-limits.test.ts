import { equal, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { requireSpaceForAll } from '../../../src/ingest/restore/restore-limits.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const world = realWorld();
const contents = new Uint8Array(256 * 1024);
const store = { directory: '/nowhere' };

test('several disks together need no more than there is, and each is walked at most once', async () => {
  let freeBytes = 0;
  const space = async () => ({ totalBytes: 2 ** 40, freeBytes });
  const narrow = { ...world, files: { ...world.files, space } };
  let walks = 0;
  const half: BlockDevice = {
    ...memoryDevice(contents),
    async extents(offset, length) {
      walks++;
      return [
        { offset, length: length / 2, kind: 'data' },
        { offset: offset + length / 2, length: length / 2, kind: 'zero' },
      ];
    },
  };
  const disks = ['a.raw', 'b.raw'].map((name) => ({ device: half, to: join(root, name) }));
  const look = async (free: number): Promise<number> => {
    [freeBytes, walks] = [free, 0];
    await requireSpaceForAll(narrow, disks, { store });
    return walks;
  };
  equal(await look(2 * contents.length), 0, 'all of them fit, whatever they hold');
  equal(await look(contents.length), 2);
  await rejects(look(contents.length - 1), {
    code: 'NO_SPACE',
    message: /131071 are free there besides the 131072 that other disks take/,
  });
});
