import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { backupReserve, sessionReserve } from '../../../src/store/directory/space-reserve.ts';

const MiB = 2 ** 20;

test('guests may always write when backups no longer may', async () => {
  for (const totalBytes of [0, 1, 64 * MiB, 652 * MiB, 8192 * MiB, 2 ** 44]) {
    const space = { totalBytes, freeBytes: 0 };
    const reserve = sessionReserve(space);
    equal(reserve, Math.min(512 * MiB, Math.floor(totalBytes / 16)));
    equal(backupReserve(space, true), 2 * reserve);
    equal(backupReserve(space, false), reserve);
  }
});
