import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { seeded } from '../../support/random.ts';
import { crashAt } from './crashes.ts';
import { copyingSweep, keepingHoles, setUp, sweep } from './swept.ts';

const SEEDS = Number(process.env['SEEDS'] ?? 2);

test('a power cut at any call of a sweep loses nothing that a point needs, and the next sweep goes on', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const place = await setUp(passphrase);
    const whole = place.disk.copy(seeded(0));
    await sweep(whole.files);
    const calls = whole.calls();
    ok(calls > 100, `${calls} calls`);
    for (let cutAt = 1; cutAt <= calls; cutAt++) {
      for (let seed = 1; seed <= SEEDS; seed++) await crashAt(place, { cutAt, seed });
    }
  }
});

test('the same where packs are copied', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const place = await setUp(passphrase);
    const whole = place.disk.copy(seeded(0));
    ok((await copyingSweep(keepingHoles(whole.files))).copiedPacks > 0);
    const calls = whole.calls();
    for (let cutAt = 1; cutAt <= calls; cutAt++) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        await crashAt(place, { cutAt, seed, on: keepingHoles });
      }
    }
  }
});
