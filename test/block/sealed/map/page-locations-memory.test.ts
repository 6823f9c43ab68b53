import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { ABSENT, pageLocations, ZERO } from '../../../../src/block/sealed/map/page-locations.ts';
import { turnOfLoop } from '../../../../src/lib/turn-of-loop.ts';
import type { File } from '../../../../src/sys/files/file-system.ts';
import { all } from '../../../support/all.ts';
import { crashingFs } from '../../../support/crashing-fs.ts';
import { broken, faultyFs, full, type Faults } from '../../../support/faulty-fs.ts';
import {
  counted,
  loaded,
  noScratch,
  places,
  PLACES,
  sum,
  type Setup,
} from '../../../support/page-locations.ts';
import { below, seeded } from '../../../support/random.ts';

/** 8 PiB. */
const LARGEST = 2 ** 41;

test('a trim does a bounded amount in one turn of the loop, and all of it in the end', async () => {
  const nodes = 300;
  let inTurn = 0;
  let most = 0;
  const map = pageLocations({
    pages: 2 ** 28,
    replaced(_, count) {
      inTurn += count;
      most = Math.max(most, inTurn);
    },
    budget: 2 ** 26,
    scratch: noScratch,
  });
  await using _map = map;
  const place = places();
  for (let page = 0; page < nodes * 1024; page++) map.set(page, 1, place());
  equal(map.dataPages, nodes * 1024);
  inTurn = 0;
  let turns = 0;
  const tick = () => {
    turns++;
    inTurn = 0;
    if (map.dataPages > 0) setImmediate(tick);
  };
  setImmediate(tick);
  const trim = map.zero(0, 2 ** 28);
  deepEqual(map.runs(290 * 1024, 10), [{ first: 290 * 1024, count: 10, location: ZERO }]);
  equal(map.get(280 * 1024), ZERO, 'all is seen as zeros from the call on');
  ok(map.dataPages > 0);
  await trim;
  // Two more were looked at.
  ok(most <= (64 + 2) * 1024, `${most} pages in one turn`);
  ok(turns >= Math.floor(nodes / 64), `${turns} turns`);
  deepEqual(map.runs(0, 2 ** 28), [{ first: 0, count: 2 ** 28, location: ZERO }]);
  equal(map.dataPages, 0);
  ok(map.memory < 1024, `${map.memory} bytes`);
});

test('a trim of 8 PiB is one run, made in the turn of its call, and so is one around what is set', async () => {
  const { map, set } = counted(LARGEST);
  await using _map = map;
  await set(2 ** 40, 3, 700);
  let isDone = false;
  const trim = map.zero(0, LARGEST).then(() => (isDone = true));
  await set(2 ** 40 + 1, 1, 900);
  await Promise.resolve().then(() => {});
  ok(isDone);
  await trim;
  deepEqual(map.runs(0, LARGEST), [
    { first: 0, count: 2 ** 40 + 1, location: ZERO },
    { first: 2 ** 40 + 1, count: 1, location: 900 },
    { first: 2 ** 40 + 2, count: 2 ** 40 - 2, location: ZERO },
  ]);
  ok(map.memory < 8192, `${map.memory} bytes`);
});

test('pages that are written here and there take little memory, on the largest disk too', async () => {
  const place = places();
  const random = seeded(7);
  const large = counted(LARGEST);
  await using _large = large.map;
  for (let n = 0; n < 10_000; n++) {
    await large.set(Math.floor(random() * LARGEST), 1, place());
  }
  ok(large.map.memory < 2 ** 22, `${large.map.memory} bytes for 10,000 pages of 8 PiB`);
  const tib = counted(2 ** 28);
  await using _tib = tib.map;
  for (let n = 0; n < 2 ** 20; n++) tib.map.set(n * 256 + (n % 251), 1, place());
  ok(tib.map.memory < 2 ** 26, `${tib.map.memory} bytes for a page of each MiB of 1 TiB`);
});

test('what was written and trimmed leaves nothing behind in memory', async () => {
  const pages = 2 ** 14;
  const { map, set } = counted(pages);
  await using _map = map;
  const place = places();
  const scatter = async () => {
    for (let page = 0; page < pages; page++) await set(page, 1, place());
    ok(map.memory > pages * 4, 'all are spelled out');
  };
  await scatter();
  for (let page = 0; page < pages; page += 16) await map.zero(page, 16);
  ok(map.memory < 8192, `${map.memory} bytes after a trim in small parts`);
  await scatter();
  for (let page = 0; page < pages; page += 16) await set(page, 16, 2 ** 20 + (page % 8192) + 2);
  ok(map.memory < 8192, `${map.memory} bytes after writes one behind the other`);
  await scatter();
  for (let page = pages - 512; page >= 0; page -= 512) await set(page, 512, 2 ** 20 + 2);
  ok(map.memory < 8192, `${map.memory} bytes after large writes`);
  await scatter();
  await set(0, 1024, 2 ** 21 + 2);
  await set(1024, 1024, 2 ** 20 + 2);
  equal(map.get(1023), 2 ** 21 + 2 + 1023);
  equal(map.get(1024), 2 ** 20 + 2, 'neighbors that are one piece each stay apart');
  await scatter();
  for (let page = 0; page < pages; page += 4096) await map.zero(page, 2048);
  const kept = map.runs(0, pages).filter(({ location }) => location > ZERO);
  equal(sum(kept.map(({ count }) => count)), pages / 2);
});

/** A file system whose scratch files fail as `faults` says, and its calls. */
function scratchDisk(faults: Faults = () => undefined) {
  const { files } = crashingFs(seeded(1));
  const failing = faultyFs(files, faults);
  let open = 0;
  return {
    files,
    openFiles: () => open,
    async scratch(): Promise<File> {
      const file = await failing.create('/scratch');
      open++;
      return {
        ...file,
        async [Symbol.asyncDispose]() {
          open--;
          await file[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** Nodes of 64 pages: what goes to the scratch file is many of them, not many pages. */
const MIDDLE = { bodyLength: 64, turnNodes: 64, bodiesMin: 5 };
const BODY = 4 * 64 + 200;
const MEMORY = { budget: 100 * BODY, limits: MIDDLE };
/** What is above the budget while the scratch file is written, with the nodes themselves. */
const MEMORY_MAX = 1.25 * MEMORY.budget + 40 * BODY;

/** Nodes of which each page has a piece of its own; and the most that was in memory in the meantime. */
async function filled(nodes: number, setup: Setup) {
  const disk = counted(2 ** 28, setup);
  const place = places();
  let most = 0;
  const fill = async () => {
    for (let page = 0; page < nodes * 64; page++) {
      await disk.set(page, 1, place());
      most = Math.max(most, disk.map.memory);
    }
  };
  await fill();
  return { ...disk, fill, most: () => most };
}

test('a map stays within its budget, and lets go of its scratch file', async () => {
  const { scratch, files, openFiles } = scratchDisk();
  const nodes = 640;
  const setup = { ...MEMORY, budget: 250 * BODY, scratch };
  const most = 1.25 * setup.budget + 40 * BODY;
  {
    const disk = await filled(nodes, setup);
    const { map } = disk;
    await using _map = map;
    equal(openFiles(), 1);
    ok(!map.ready(0, nodes * 64));
    equal(map.isZero(0, nodes * 64), false);
    ok(map.ready((nodes - 1) * 64, 1), 'what was used last is there');
    for (let time = 0; time < 2; time++) await disk.fill();
    ok(disk.most() <= most, `${disk.most()} bytes`);
    equal(map.dataPages, nodes * 64);
    equal((await all(map.written())).length, nodes * 64);
    ok(map.memory <= most, `${map.memory} bytes after all was read`);
    const { size } = (await files.stat('/scratch'))!;
    ok(size <= (nodes + 64) * 256, `${size} bytes: slots are used again`);

    ok(!map.ready(0, 1));
    const before = map.memory;
    await Promise.all([map.load(0, 1), map.load(0, 1)]);
    equal(map.memory, before + BODY, 'two who wait for a body have one');
    await Promise.all([map.zero(0, nodes * 16), map.zero(nodes * 16, nodes * 16)]);
    for (let page = 0; page < nodes * 32; page++) equal(map.get(page), ZERO);
    equal(map.dataPages, nodes * 32);
    await map.zero(0, 2 ** 28);
    equal(map.dataPages, 0);
    deepEqual(await all(map.written()), [{ first: 0, count: 2 ** 28, location: ZERO }]);
  }
  equal(openFiles(), 0);
});

test('a part of the map that empties is joined with its neighbor only where that is in memory', async () => {
  const { scratch } = scratchDisk();
  const { map, set } = await filled(300, { ...MEMORY, scratch });
  await using _map = map;
  const halves = async (node: number) => {
    await set(node * 64, 32, 2 ** 20 + 2);
    await set(node * 64 + 32, 32, 2 ** 20 + 2);
  };
  await halves(100);
  equal((await all(map.written())).length, 299 * 64 + 2);
  ok(!map.ready(100 * 64, 1));
  await halves(101);
  equal((await all(map.written())).length, 298 * 64 + 4);
});

test('what is written goes on from one node to the next', async () => {
  const nodes = 50;
  const { map, set } = await filled(nodes, { limits: MIDDLE });
  await using _map = map;
  for (let node = 1; node < nodes; node++) await set(node * 64 - 1, 2, 2 ** 20 + 2);
  const written = await all(map.written());
  equal(written.length, nodes * 64 - (nodes - 1));
  deepEqual(written, map.runs(0, nodes * 64));
});

test('what changes while it is written to the scratch file, or read from it, is not what was written', async () => {
  const random = seeded(3);
  const { scratch } = scratchDisk();
  const slow = async (): Promise<File> => {
    const file = await scratch();
    return {
      ...file,
      async write(from, offset) {
        await turnOfLoop();
        await file.write(from, offset);
        await turnOfLoop();
      },
    };
  };
  const pages = 60 * 64;
  const { map, set } = counted(pages, { budget: 20 * BODY, limits: MIDDLE, scratch: slow });
  await using _map = map;
  const model = new Map<number, number>();
  const place = places();
  for (let n = 0; n < 8000; n++) {
    const page = below(random, pages);
    const location = place();
    await set(page, 1, location);
    model.set(page, location);
    if (n % 3 === 0) await turnOfLoop();
  }
  for (const [page, location] of model) {
    await loaded(map, page, 1);
    equal(map.get(page), location);
  }
});

test('every second leaf of a disk may be trimmed: beyond the budget that is in the scratch file', async () => {
  const { scratch } = scratchDisk();
  const body = 4 * 1024 + 200;
  const { map } = counted(LARGEST, { budget: 100 * body, scratch });
  await using _map = map;
  const leaves = 40_000;
  for (let n = 0; n < leaves; n++) await map.zero(n * 512, 256);
  ok(map.memory <= 160 * body, `${map.memory} bytes`);
  const runs = await all(map.written());
  equal(runs.length, leaves);
  ok(runs.every(({ first, count }, n) => first === n * 512 && count === 256));
});

test('where the scratch file finds no room the map stays right in memory until there is some', async () => {
  let isFull = true;
  const { scratch } = scratchDisk((operation, path) =>
    isFull && operation === 'write' ? full(path) : undefined,
  );
  const { map, set } = await filled(300, { ...MEMORY, scratch });
  await using _map = map;
  ok(map.memory > 300 * BODY, `${map.memory} bytes`);
  ok(map.ready(0, 300 * 64));
  equal(map.runs(0, 300 * 64).length, 300 * 64);
  isFull = false;
  const place = places();
  for (let page = 300 * 64; page < 400 * 64; page++) {
    await set(page, 1, place());
    if (page % 1024 === 0) await turnOfLoop();
  }
  ok(map.memory <= MEMORY_MAX, `${map.memory} bytes`);
  equal((await all(map.written())).length, 400 * 64);
});

test('a scratch file that cannot be read is an error of what needs it, and is asked again', async () => {
  let isBroken = false;
  const { scratch, files } = scratchDisk((operation, path) =>
    isBroken && operation === 'read' ? broken(path) : undefined,
  );
  const { map } = await filled(300, { ...MEMORY, scratch });
  await using _map = map;
  isBroken = true;
  await rejects(map.load(0, 1), { name: 'SystemError', code: 'IO' });
  await rejects(map.zero(0, 64), { name: 'SystemError', code: 'IO' });
  isBroken = false;
  await loaded(map, 0, 1);
  equal(map.get(0), 3);

  await using file = await files.open('/scratch', 'write');
  await file.write(new Uint8Array(await file.size()), 0);
  await rejects(all(map.written()), {
    name: 'BlockError',
    code: 'IO',
    message: /^\/scratch, bytes \d+ to \d+: the scratch file of the overlay does not hold what/,
  });
});

test('what breaks the rules of the map is our own fault', async () => {
  const { map } = counted(1000);
  await using _map = map;
  for (const wrong of [
    () => map.get(1000),
    () => map.runs(990, 11),
    () => map.set(-1, 1, 5),
    () => map.set(0, 1, ABSENT),
    () => map.set(0, 1, ZERO),
    () => map.set(0, 2, PLACES - 1),
    () => map.set(0, 0, 5),
  ]) {
    throws(wrong, { name: 'InvariantError' });
  }
  await map.zero(0, 1000);
  ok(map.isZero(0, 1000));
  ok(map.memory < 1024, `${map.memory} bytes: what is beyond the end is zeros as well`);
  map.set(0, 1, PLACES - 1);
  map.set(1, 1, PLACES);
  deepEqual(map.runs(0, 2).length, 2, 'no run goes from one segment to the next');
});
