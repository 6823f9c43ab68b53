import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { seeded } from '../../support/random.ts';
import { unreadable } from '../../support/unreadable-fs.ts';
import { contentsOf, damage, type Finds } from './damage.ts';
import { HOME, open, PAGE, prepared, rig } from './rig.ts';

// A sector that the medium no longer gives costs what lies there, and that is said; the rest of the session goes on.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const SEED = Number(process.env['SEED'] ?? 1);
const timeout = 300_000;

test('pages in sectors that cannot be read are reported, and never read as they were before', {
  timeout,
}, async (t) => {
  const found: Finds = { harmless: 0, told: 0, refused: 0, unproven: 0 };
  for (let seed = SEED; seed < SEED + 2 * SEEDS; seed++)
    await damage(seed, 25, 'unreadable', found);
  t.comment(JSON.stringify(found));
  ok(found.told > 0 && found.refused > 0 && found.harmless > 0);
  equal(found.unproven, 0);
});

test('a flushed page in a sector that cannot be read is missed, also where nothing later says that it was flushed', {
  timeout,
}, async () => {
  const it = rig(seeded(2), 2);
  const disk = await prepared(it);
  const written = new Uint8Array(PAGE).fill(7);
  const overlay = await open(disk.files, it);
  await overlay.write(written, 0, 'durable');
  const last = disk.kill();
  let missed = 0;
  for (const [name, { length }] of await contentsOf(last)) {
    for (let from = 0; from < length; from += PAGE) {
      const damage: string[] = [];
      const spot = { path: `${HOME}/${name}`, from, to: from + PAGE };
      const { files } = unreadable(last.copy(seeded(from)), spot);
      const again = await open(files, { ...it, damage });
      const found = new Uint8Array(PAGE);
      const isRead = await again.read(found, 0).then(
        () => true,
        () => false,
      );
      if (isRead && Buffer.compare(found, written) === 0) continue;
      ok(
        damage.some((what) => what.includes(name)),
        `${name}, bytes from ${from} on`,
      );
      missed++;
    }
  }
  ok(missed > 0);
});
