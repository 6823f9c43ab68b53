import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'tap';
import { below, seeded } from '../../support/random.ts';
import { counts, lives, sessionOf } from './lives.ts';
import { bytesOf } from './oracle.ts';
import {
  endlessBytes,
  HOME,
  nonces,
  open,
  PAGE,
  prepared,
  type Rig,
  rig,
  writesSeen,
} from './rig.ts';

// Nothing is ever sealed twice under one key and nonce.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const timeout = 300_000;
const SEED = Number(process.env['SEED'] ?? 1);

test('no nonce comes twice, through short writes, full disks, failing disks, kills and power cuts', {
  timeout,
}, async (t) => {
  const count = counts();
  // `lives` looks at every key and nonce that anything was sealed under.
  for (let seed = SEED; seed < SEED + 4 * SEEDS; seed++) {
    await lives(seed, { lives: 8, faults: { calls: 0.1, syncs: 0.1 } }, count);
  }
  t.comment(JSON.stringify(count));
  ok(count.nonces > 100 && count.faults > 50);
});

/** The same overlay, taken up by another machine. */
function another(it: Rig, seed: number): Rig {
  return { ...it, bytes: endlessBytes(seed), nonces: nonces(), damage: [] };
}

test('two copies of one directory that both go on have no key in common', async () => {
  for (let seed = SEED; seed < SEED + 4 * SEEDS; seed++) {
    const random = seeded(seed);
    const it = rig(random, seed);
    const session = sessionOf(it, await prepared(it), { count: counts() });
    await session.live(random() < 0.5 ? Number.POSITIVE_INFINITY : 40 + below(random, 150));
    const disk = session.disk.kill();
    const keys: Set<string>[] = [it.nonces.keys];
    for (const copy of [1, 2]) {
      const other = another(it, seed * 1000 + copy);
      const own = sessionOf(other, disk.copy(random), { count: counts() });
      // What was written before is not known to its oracle.
      await own.goOn();
      await own.live(Number.POSITIVE_INFINITY);
      keys.push(other.nonces.keys);
    }
    ok(keys.every(({ size }) => size > 0));
    deepEqual(
      [...keys[1]!].filter((key) => keys[0]!.has(key) || keys[2]!.has(key)),
      [],
    );
    deepEqual(
      [...keys[2]!].filter((key) => keys[0]!.has(key)),
      [],
    );
  }
});

test('a key that a copy of the memory may have seals nothing more, nor does one that was made ahead', async () => {
  for (let seed = SEED; seed < SEED + 4 * SEEDS; seed++) {
    const it = rig(seeded(seed), seed);
    const disk = await prepared(it);
    const paths: string[] = [];
    const overlay = await open(writesSeen(disk.files, paths), it);
    let stamp = 0;
    const write = () => overlay.write(bytesOf(++stamp, 0, PAGE), 0, 'cached');
    // All at once, so that more than one is made ahead.
    await Promise.all(Array.from({ length: 60 + seed }, write));
    await turns();
    const before = new Set((await disk.files.list(HOME)).filter((name) => name.endsWith('.seg')));
    await write();
    const [used] = paths.slice(-1);
    ok(before.has(used!), 'that one was made ahead, or in use');
    it.clock.jump(seed % 2 ? 6000 : -6000);
    await write();
    await turns();
    paths.length = 0;
    await write();
    ok(
      paths.length > 0 && paths.every((name) => !before.has(name)),
      `${paths.join()} after ${used}`,
    );
  }
});

async function turns(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('a directory that is rolled back goes on under keys that were never used', async () => {
  for (let seed = SEED; seed < SEED + 4 * SEEDS; seed++) {
    const random = seeded(seed);
    const it = rig(random, seed);
    const session = sessionOf(it, await prepared(it), { count: counts() });
    await session.live(40 + below(random, 150));
    await session.recover('nothing answered', `SEED=${seed}`);
    const earlier = session.disk.kill().copy(random);
    await session.live(Number.POSITIVE_INFINITY);
    const before = new Set(it.nonces.keys);
    const other = another(it, seed * 1000);
    const back = sessionOf(other, earlier, { count: counts() });
    await back.goOn();
    await back.live(Number.POSITIVE_INFINITY);
    ok(other.nonces.keys.size > 0);
    deepEqual(
      [...other.nonces.keys].filter((key) => before.has(key)),
      [],
    );
  }
});
