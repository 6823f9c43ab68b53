import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  statfsSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { listPoints } from '../../../src/catalog/points.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { checkPacks, manifestChecker } from '../../../src/store/check/check.ts';
import type { Problem } from '../../../src/store/check/problem.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { newStore, storeIndexed } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { sweepStore } from './swept.ts';

const MiB = 2 ** 20;
const SIZE = 80 * MiB;
const DISK = 512 * MiB;

/** Which share of what is dead has to come back: whole packs and holes, or whole packs and copies. */
const FILE_SYSTEMS = { xfs: 0.9, ext4: 0.9, btrfs: 0.9 } as const;

/** Writes until nothing more can be written. */
function fill(directory: string): void {
  const fd = openSync(join(directory, 'other'), 'w');
  for (let length = 4 * MiB; length >= 512; ) {
    try {
      if (writeSync(fd, Buffer.alloc(length, 7)) < length) length /= 2;
    } catch {
      length /= 2;
    }
  }
  closeSync(fd);
}

/** Btrfs gives the space of a large file back to small ones some time later. */
async function canCreate(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      writeFileSync(path, Buffer.alloc(MiB));
      return;
    } catch (cause) {
      if (tries > 120) throw cause;
      await sleep(1000);
    }
  }
}

for (const [kind, share] of Object.entries(FILE_SYSTEMS)) {
  test(`a sweep of a full ${kind} gives the space back; Btrfs needs some for copies`, async (t) => {
    const image = join(temporaryDirectory(), `${kind}.img`);
    const mounted = join(temporaryDirectory(), kind);
    mkdirSync(mounted);
    closeSync(openSync(image, 'w'));
    truncateSync(image, DISK);
    execFileSync(`mkfs.${kind}`, [...(kind === 'btrfs' ? ['-m', 'single'] : []), '-q', image]);
    execFileSync('mount', ['-o', 'loop', image, mounted]);
    t.teardown(() => execFileSync('umount', ['-l', mounted]));
    const free = (): number => {
      execFileSync('sync', ['-f', mounted]);
      // Also what ext4 keeps for root, who fills it here.
      const { bfree, bsize } = statfsSync(mounted);
      return bfree * bsize;
    };
    const home = join(mounted, 'store');
    const { store: made, set } = await newStore(realWorld(), { home });
    const contents = randomBytes(SIZE);
    const first = await storeIndexed(made, set, contents);
    // Single blocks here and there, and a long run.
    for (let at = 0; at < SIZE / 2; at += MiB) randomBytes(200_000).copy(contents, at);
    randomBytes(32 * MiB).copy(contents, 44 * MiB);
    await storeIndexed(made, set, contents);
    await sweepStore(made);
    await made[Symbol.asyncDispose]();
    await using store = await openStore(realWorld(), home);
    await forgetPoint(store, { set: 'set', id: first.id });
    fill(mounted);
    if (kind === 'btrfs') {
      // A copy has no space: only whole packs would go.
      equal((await sweepStore(store)).copiedPacks, 0);
      unlinkSync(join(mounted, 'other'));
      await canCreate(join(mounted, 'probe'));
    }
    const before = free();
    const result = await sweepStore(store);
    const [bytes] = result.domains.values();
    const freed = free() - before;
    const { deadBytes, freedBytes, leftBytes } = bytes!;
    t.comment(
      `${kind}: ${before} free, ${deadBytes} dead, ${freedBytes} given back, ${leftBytes} left; df ${freed}`,
    );
    ok(deadBytes > 40 * MiB);
    ok(freedBytes >= share * deadBytes, `${freedBytes} of ${deadBytes}`);
    ok(freed >= share * freedBytes, `${freed} of ${freedBytes}`);
    equal(result.freesHoles, kind !== 'btrfs');
    const problems: Problem[] = [];
    const onProblem = (problem: Problem): void => void problems.push(problem);
    const { points } = await listPoints(store, 'set', set.keys);
    const checker = manifestChecker(store.packs, set.keys, onProblem);
    for (const { disks } of points) for (const disk of disks) await checker.check(disk, 'vda');
    const all = { readData: true, keysOf: () => set.keys, signal: undefined };
    await checkPacks(store.packs, { ...all, onProgress() {}, onProblem });
    equal(points.length, 1);
    deepEqual(problems, []);
  });
}
