import { equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { PLACE_LENGTH, readTrailer } from '../../../src/formats/store/sessions/overlay-log.ts';
import { below, seeded } from '../../support/random.ts';
import { type Contents, contentsOf, put } from './damage.ts';
import { contents, writeAll } from './filled.ts';
import { DISK, open, PAGE, PLACES, prepared, rig } from './rig.ts';

// The whole log hangs on some slots that hold no page: lists of segments, and records of what is freed or void. What
// rots in one of them harms no page, and the session goes on.

const SECTOR = 4096;
const HARMLESS =
  /vda\.\d+\.seg is damaged at places? [\d to]+, which held nothing that the guest wrote$/;
const KINDS: ReadonlySet<string> = new Set(['birth', 'freed', 'voids']);

/** An overlay in which segments were freed, with and without being gone; killed. */
async function withRecords(seed: number) {
  const it = rig(seeded(seed), seed);
  let disk = await prepared(it);
  for (let life = 0; life < 2; life++) {
    await writeAll(disk, it, life * 50);
    disk = life === 0 ? disk.reboot() : disk.kill();
  }
  {
    // This one is not closed.
    const overlay = await open(disk.files, it);
    for (let page = 0; page < 12; page++) {
      await overlay.write(new Uint8Array(PAGE).fill(page), page * PAGE, 'cached');
      if (page % 4 === 3) await overlay.flush();
    }
    await overlay.idle();
  }
  disk = disk.kill();
  const { all: expected } = await contents(disk.copy(seeded(1)), it);
  return { it, disk, expected, files: await contentsOf(disk) };
}

interface Record {
  readonly name: string;
  readonly place: number;
  readonly kind: string;
}

function recordsOf(files: Contents): readonly Record[] {
  const found: Record[] = [];
  for (const [name, bytes] of files) {
    if (!name.endsWith('.seg')) continue;
    for (let place = 1; place < PLACES - 1; place++) {
      const kind = readTrailer(bytes, place * PLACE_LENGTH + PAGE)?.kind;
      if (kind && KINDS.has(kind)) found.push({ name, place, kind });
    }
  }
  return found;
}

/** Opens what was altered, twice; answers what was reported. */
async function opened(
  { it, disk, expected, files }: Awaited<ReturnType<typeof withRecords>>,
  now: Contents,
  where: string,
): Promise<readonly string[]> {
  const copy = disk.copy(seeded(1));
  await put(copy, files, now);
  const damage: string[] = [];
  for (const mine of [
    { ...it, damage },
    { ...it, damage: [] },
  ]) {
    const { all, readOnly } = await contents(copy, mine);
    equal(readOnly, undefined, where);
    equal(all, expected, where);
  }
  return damage;
}

/** With bytes of one file altered; `isBare`: and without any summary. */
function altered(
  files: Contents,
  name: string,
  { isBare, alter }: { readonly isBare: boolean; readonly alter: (bytes: Uint8Array) => void },
): Contents {
  const now = new Map([...files].filter(([it]) => !isBare || !it.endsWith('.sum')));
  const bytes = files.get(name)!.slice();
  alter(bytes);
  return now.set(name, bytes);
}

test('a byte that rots in a list of segments, or in a record of what is freed or void, harms no page', async () => {
  const reported = { birth: 0, freed: 0, voids: 0 };
  for (const seed of [1, 2]) {
    const place = await withRecords(seed);
    const random = seeded(seed);
    for (const isBare of [false, true]) {
      for (const { name, place: at, kind } of recordsOf(place.files)) {
        // In the body, the tag, what the trailer says, or its checksum.
        const byte = [below(random, PAGE), PAGE + 3, PAGE + 22, PAGE + 33][below(random, 4)]!;
        const where = `seed ${seed}: ${kind} at place ${at} of ${name}, byte ${byte}, ${isBare}`;
        const alter = (bytes: Uint8Array) => void (bytes[at * PLACE_LENGTH + byte]! ^= 0x40);
        const damage = await opened(place, altered(place.files, name, { isBare, alter }), where);
        for (const what of damage) match(what, HARMLESS);
        reported[kind as keyof typeof reported] += damage.length;
      }
    }
  }
  ok(
    Object.values(reported).every((count) => count > 4),
    JSON.stringify(reported),
  );
});

test('a sector of 4 KiB that is lost among the copies of a record harms no page', async () => {
  let count = 0;
  for (const seed of [1, 2]) {
    const place = await withRecords(seed);
    const records = recordsOf(place.files);
    for (const { name, place: at, kind } of records) {
      const isThere = (next: number) =>
        records.some((it) => it.name === name && it.place === at + next && it.kind === kind);
      if (!isThere(1) || !isThere(2)) continue;
      const first = Math.ceil((at * PLACE_LENGTH) / SECTOR) * SECTOR;
      for (let from = first; from + SECTOR <= (at + 3) * PLACE_LENGTH; from += SECTOR) {
        const alter = (bytes: Uint8Array) => void bytes.fill(0, from, from + SECTOR);
        const now = altered(place.files, name, { isBare: count % 2 === 0, alter });
        await opened(place, now, `seed ${seed}: ${kind} at place ${at} of ${name}, from ${from}`);
        count++;
      }
    }
  }
  ok(count > 10, `${count} sectors`);
});

test('a record of which one copy has rotted is copied, and its segment is freed', async () => {
  const place = await withRecords(1);
  const { it, disk, expected, files } = place;
  /** What segments are there after more was written. */
  async function goneOn(now: Contents, where: string): Promise<Contents> {
    const copy = disk.copy(seeded(1));
    await put(copy, files, now);
    const mine = { ...it, damage: [] };
    equal((await contents(copy, mine)).all, expected, where);
    for (let life = 0; life < 3; life++) await writeAll(copy, mine, life * 7);
    const { all } = await contents(copy, mine);
    const left = await contentsOf(copy);
    equal((await contents(copy.kill(), { ...it, damage: [] })).all, all, where);
    return left;
  }
  const sound = await goneOn(files, 'sound');
  let gone = 0;
  for (const { name, place: at, kind } of recordsOf(files)) {
    if (kind === 'birth' || sound.has(name) || !files.has(name.replace('.seg', '.sum'))) continue;
    const alter = (bytes: Uint8Array) => void (bytes[at * PLACE_LENGTH + 9]! ^= 1);
    const where = `${kind} at place ${at} of ${name}`;
    equal(
      (await goneOn(altered(files, name, { isBare: false, alter }), where)).has(name),
      false,
      where,
    );
    gone++;
  }
  ok(gone > 2, `${gone} are gone`);
});

test('a head of which one copy has rotted is used, reported and mended', async () => {
  const place = await withRecords(2);
  const name = `${DISK}.head`;
  for (const at of [0, 4, 5, 16, 30, 43, 44, 4095, 4096, 4101, 4139]) {
    const alter = (bytes: Uint8Array) => void (bytes[at]! ^= 0x10);
    const now = altered(place.files, name, { isBare: false, alter });
    const copy = place.disk.copy(seeded(1));
    await put(copy, place.files, now);
    const damage: string[] = [];
    equal((await contents(copy, { ...place.it, damage })).all, place.expected, `byte ${at}`);
    equal(damage.length, 1, damage.join());
    match(damage[0]!, /vda\.head: one of its two copies is damaged; the other one is used$/);
    ok(
      Buffer.from(place.files.get(name)!).equals((await contentsOf(copy)).get(name)!),
      `byte ${at}`,
    );
  }
});
