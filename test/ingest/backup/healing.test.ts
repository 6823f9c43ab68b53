import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { listPoints } from '../../../src/catalog/points.ts';
import { createSet, type OpenSet, unlockSet } from '../../../src/catalog/sets.ts';
import { PACK_HEADER_LENGTH } from '../../../src/formats/store/packs/pack.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { backup, type BackupEvent } from '../../../src/ingest/backup/backup.ts';
import type { ChangedBlocks } from '../../../src/ingest/backup/changed-blocks.ts';
import { keepSession } from '../../../src/sessions/finish/keep-session.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { checkPacks, manifestChecker } from '../../../src/store/check/check.ts';
import type { Problem } from '../../../src/store/check/problem.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { createStore, openStore } from '../../../src/store/directory/store.ts';
import { openStoreWriter, rebuildIndex } from '../../../src/store/write/store-writer.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { readAll } from '../../block/conformance.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MiB = 2 ** 20;
const world = realWorld();
const root = temporaryDirectory();
let made = 0;

const EMPTY = join(root, 'empty');
/** A new store at EMPTY, made once: deriving the key takes its time. */
let emptySet: Promise<OpenSet> | undefined;

async function newSet(): Promise<OpenSet> {
  await createStore(world, EMPTY);
  const passphrase = Buffer.from('secret');
  await using store = await openStore(world, EMPTY);
  const { record } = await createSet(store, 'set', { passphrase });
  return await unlockSet(record, { kind: 'passphrase', passphrase });
}

/** A store with an encrypted set, and what one does with it from outside. Each call opens the store again. */
async function engine() {
  const set = await (emptySet ??= newSet());
  const directory = join(root, `store-${++made}`);
  cpSync(EMPTY, directory, { recursive: true });
  const image = join(root, `image-${made}.raw`);

  async function backUp(contents: Uint8Array, machine = 'vm', changed?: ChangedBlocks) {
    writeFileSync(image, contents);
    await using store = await openStore(world, directory);
    const events: BackupEvent[] = [];
    const point = await backup(store, {
      ...{ set, machine, changed, workers: 1 },
      disks: [{ name: 'vda', where: image, format: 'raw' }],
      isSecret: () => false,
      onEvent: (event) => events.push(event),
    });
    const damage = events.flatMap((event) => (event.kind === 'damage' ? [event.what] : []));
    return { point, damage, stored: point.stats.storedBytes, read: point.stats.readBytes };
  }
  async function contentsOf({ disks: [disk] }: PointRecord): Promise<Uint8Array> {
    await using store = await openStore(world, directory);
    await using reader = openBlockReader(store, { cacheLength: 8 * MiB });
    await using device = manifestDisk(reader, { name: 'vda', root: disk!, keys: set.keys });
    return readAll(device);
  }
  async function check(readData: boolean): Promise<string[]> {
    await using store = await openStore(world, directory);
    const problems: Problem[] = [];
    const onProblem = (problem: Problem): void => void problems.push(problem);
    const options = { readData, keysOf: () => set.keys, signal: undefined, onProgress() {} };
    await checkPacks(store.packs, { ...options, onProblem });
    const checker = manifestChecker(store.packs, set.keys, onProblem);
    for (const { id, disks } of (await listPoints(store, 'set', set.keys)).points) {
      for (const disk of disks) await checker.check(disk, id);
    }
    return problems.map(({ where, what }) => `${where}: ${what}`);
  }
  /** Whether a writer need not walk its tree for what is lost. */
  async function isKnownWhole({ disks: [disk] }: PointRecord): Promise<boolean> {
    await using store = await openStore(world, directory);
    const options = { domain: set.record.domain, holder: 'test' };
    await using writer = await openStoreWriter(store, options);
    return writer.isWhole(disk!.reference!.digest);
  }
  const pack = (number: number) =>
    join(directory, 'packs', '00000', `${String(number).padStart(8, '0')}.pack`);
  return {
    ...{ directory, set, backUp, contentsOf, check, isKnownWhole, pack },
    async rebuild() {
      await using store = await openStore(world, directory);
      await rebuildIndex(store, {});
    },
  };
}

function isSame(a: Uint8Array, b: Uint8Array): void {
  equal(Buffer.compare(a, b), 0);
}

function flip(path: string, offset: number, count = 8): void {
  const bytes = readFileSync(path);
  const at = offset < 0 ? bytes.length + offset : offset;
  for (let byte = at; byte < at + count; byte++) bytes[byte]! ^= 0xff;
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes.subarray(at, at + count), 0, count, at);
  closeSync(fd);
}

// A1, D1, D2 (trust.md, years.md)
for (const rebuilt of [false, true]) {
  const how = rebuilt ? ', also with a rebuilt index' : '';
  test(`a full backup after a pack was lost stores its contents again${how}`, async () => {
    const it = await engine();
    const contents = noise(3 * MiB, 1);
    const first = await it.backUp(contents);
    rmSync(it.pack(1));
    await rejects(it.contentsOf(first.point), { code: 'CORRUPT', message: /missing/ });
    ok((await it.check(false)).length > 0);
    if (rebuilt) await it.rebuild();
    const again = await it.backUp(contents);
    ok(again.stored > 2.9 * MiB, `${again.stored} bytes stored`);
    if (!rebuilt) match(again.damage.join(), /the pack is missing/);
    isSame(await it.contentsOf(again.point), contents);
    isSame(await it.contentsOf(first.point), contents);
    deepEqual(await it.check(true), []);
    equal((await it.backUp(contents)).stored, 0, 'and once only');
  });
}

test('another machine with the same contents mends a lost pack of the first', async () => {
  const it = await engine();
  const contents = noise(3 * MiB, 2);
  const first = await it.backUp(contents, 'one');
  rmSync(it.pack(1));
  const { point } = await it.backUp(contents, 'two');
  isSame(await it.contentsOf(point), contents);
  isSame(await it.contentsOf(first.point), contents);
});

test('a lost pack of manifest nodes is written again by a full backup', async () => {
  const it = await engine();
  const contents = noise(3 * MiB, 3);
  const first = await it.backUp(contents);
  rmSync(it.pack(2));
  await rejects(it.contentsOf(first.point), { code: 'CORRUPT' });
  const again = await it.backUp(contents);
  isSame(await it.contentsOf(again.point), contents);
  isSame(await it.contentsOf(first.point), contents);
  deepEqual(await it.check(true), []);
});

test('a rotten block that a check has read, or a reader, is stored again by the next backup', async () => {
  for (const finder of ['check', 'reader'] as const) {
    const it = await engine();
    const contents = noise(3 * MiB, 4);
    const first = await it.backUp(contents);
    flip(it.pack(1), 500_000);
    if (finder === 'check') equal((await it.check(true)).length, 1);
    else await rejects(it.contentsOf(first.point), { code: 'CORRUPT' });
    equal((await it.check(false)).length, 1, 'known damage is reported without reading all');
    const again = await it.backUp(contents);
    ok(again.stored > 0 && again.stored < MiB, `${again.stored} bytes stored`);
    isSame(await it.contentsOf(again.point), contents);
    isSame(await it.contentsOf(first.point), contents);
    deepEqual(await it.check(true), []);
    deepEqual(readdirSync(join(it.directory, 'wanted')), []);
  }
});

test('what was lost of the point before is read again, whatever a list of changes says', async () => {
  for (const lost of [1, 2]) {
    const it = await engine();
    const contents = noise(6 * MiB, 5);
    const first = await it.backUp(contents);
    rmSync(it.pack(lost));
    const changed = {
      since: first.point.id,
      disks: new Map([['vda', [{ offset: 0, length: 1 }]]]),
    };
    const second = await it.backUp(contents, 'vm', changed);
    isSame(await it.contentsOf(second.point), contents);
    isSame(await it.contentsOf(first.point), contents);
    const third = await it.backUp(contents, 'vm', { ...changed, since: second.point.id });
    equal(third.read, MiB, 'and then only what changed');
    ok(await it.isKnownWhole(third.point), 'its tree is not walked again');
    const packs = readdirSync(join(it.directory, 'packs', '00000'));
    rmSync(join(it.directory, 'packs', '00000', packs.findLast((name) => name.endsWith('.pack'))!));
    ok(!(await it.isKnownWhole(third.point)), 'until more is lost');
  }
});

test('what a session kept lacks, because its recovery point lacked it, is reported', async () => {
  const it = await engine();
  const { point } = await it.backUp(noise(2 * MiB, 13));
  rmSync(it.pack(1));
  await using store = await openStore(world, it.directory);
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  const session = await startSession(store, point, options);
  await session[Symbol.asyncDispose]();
  const told: string[] = [];
  await keepSession(store, session.record.id, {
    ...{ set: it.set, workers: 1, known: undefined, signal: undefined, onProgress() {} },
    onDamage: (where, what) => told.push(`${where}: ${what}`),
  });
  match(told.join(), /the pack is missing.*vm-.*\/vda: the store has lost data within 2.00 MiB/);
});

test('for what other points have lost a tree that was kept is walked once', async () => {
  const it = await engine();
  await it.backUp(noise(2 * MiB, 16), 'other');
  const { point } = await it.backUp(noise(2 * MiB, 17));
  rmSync(it.pack(1));
  await using store = await openStore(world, it.directory);
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  const session = await startSession(store, point, options);
  await session[Symbol.asyncDispose]();
  const told: string[] = [];
  await keepSession(store, session.record.id, {
    ...{ set: it.set, workers: 1, known: undefined, signal: undefined, onProgress() {} },
    onDamage: (_, what) => told.push(what),
  });
  deepEqual(told, ['the pack is missing']);
  const { points } = await listPoints(store, 'set', it.set.keys);
  ok(await it.isKnownWhole(points.at(-1)!));
});

test('the number of a lost pack is not given again, even where the index is lost with it', async () => {
  const it = await engine();
  const contents = [noise(3 * MiB, 14), noise(3 * MiB, 15)];
  const first = await it.backUp(contents[0]!);
  // The last packs: of blocks, and of nodes.
  for (const number of [1, 2]) rmSync(it.pack(number));
  rmSync(join(it.directory, 'block-index'), { recursive: true });
  const other = await it.backUp(contents[1]!, 'other');
  isSame(await it.contentsOf(other.point), contents[1]!);
  const changed = { since: first.point.id, disks: new Map([['vda', [{ offset: 0, length: 1 }]]]) };
  const second = await it.backUp(contents[0]!, 'vm', changed);
  isSame(await it.contentsOf(second.point), contents[0]!);
  for (const number of [1, 2]) ok(!existsSync(it.pack(number)));
});

// D3, D4
test('a damaged footer stops nothing: it is named, and what it held is stored again', async () => {
  const it = await engine();
  const contents = [noise(2 * MiB, 6), noise(2 * MiB, 7)];
  const one = await it.backUp(contents[0]!, 'one');
  const two = await it.backUp(contents[1]!, 'two');
  flip(it.pack(1), -10, 4);
  const problems = await it.check(false);
  equal(problems.length, 1, 'no block is called missing that is there');
  match(problems[0]!, /00000001\.pack: .*checksum/);
  rmSync(join(it.directory, 'block-index'), { recursive: true });
  const three = await it.backUp(contents[1]!, 'three');
  match(three.damage.join(), /checksum/);
  equal(three.stored, 0);
  const four = await it.backUp(contents[0]!, 'four');
  deepEqual(four.damage, [], 'reported once');
  ok(four.stored > 1.9 * MiB);
  for (const { point } of [one, four]) isSame(await it.contentsOf(point), contents[0]!);
  for (const { point } of [two, three]) isSame(await it.contentsOf(point), contents[1]!);
});

test('a pack that was cut is not built upon', async () => {
  const it = await engine();
  const contents = noise(3 * MiB, 8);
  const first = await it.backUp(contents);
  const fd = openSync(it.pack(1), 'r+');
  ftruncateSync(fd, 2 * MiB);
  closeSync(fd);
  const again = await it.backUp(contents);
  ok(again.damage.length > 0);
  isSame(await it.contentsOf(again.point), contents);
  isSame(await it.contentsOf(first.point), contents);
});

// A23
test('an index that is cut, emptied, zeroed or overwritten is rebuilt by the backup that meets it', async () => {
  const it = await engine();
  const contents = noise(4 * MiB, 9);
  const directory = join(it.directory, 'block-index');
  // Enough for tables: what the log holds is moved into one each time the index is opened.
  for (let turn = 0; turn < 3; turn++) await it.backUp(noise(MiB, 100 + turn));
  await it.backUp(contents);
  for (const damage of ['cut', 'empty', 'zeros', 'text'] as const) {
    const tables = readdirSync(directory).filter((name) => name.endsWith('.ldb'));
    ok(tables.length > 0);
    for (const name of tables) {
      const path = join(directory, name);
      const { length } = readFileSync(path);
      if (damage === 'cut') writeFileSync(path, readFileSync(path).subarray(0, length >> 1));
      if (damage === 'empty') writeFileSync(path, '');
      if (damage === 'zeros') writeFileSync(path, Buffer.alloc(length));
      if (damage === 'text') writeFileSync(path, 'not a table');
    }
    const changed = contents.slice();
    changed.set(noise(4096, made), 0);
    const { point, stored, damage: told } = await it.backUp(changed, `vm-${damage}`);
    match(told.join(), /the index is rebuilt, because it cannot be read/, damage);
    ok(stored < MiB, `${damage}: ${stored} bytes stored`);
    isSame(await it.contentsOf(point), changed);
    deepEqual(await it.check(true), []);
    // Tables again, for the next kind of damage.
    for (let turn = 0; turn < 2; turn++) await it.backUp(noise(4096, made * 10 + turn), 'more');
  }
});

test('for a lost pack that is there again the index is rebuilt once, and the backup says so', async () => {
  const it = await engine();
  const contents = noise(MiB, 12);
  await it.backUp(contents);
  const [path, away] = [
    join(it.directory, 'packs/00000/00000001.pack'),
    join(it.directory, 'away'),
  ];
  renameSync(path, away);
  deepEqual((await it.backUp(noise(MiB, 13))).damage, ['the pack is missing']);
  renameSync(away, path);
  const { point, damage, stored } = await it.backUp(contents);
  deepEqual(damage, ['the index is rebuilt, because pack 1 was missing and is back']);
  ok(stored < MiB / 2, `${stored} bytes stored`);
  isSame(await it.contentsOf(point), contents);
  deepEqual((await it.backUp(contents)).damage, []);
});

test('a wrong place in the index is never referred to', async () => {
  const it = await engine();
  const contents = noise(2 * MiB, 10);
  await it.backUp(contents);
  const directory = join(it.directory, 'block-index');
  for (const name of readdirSync(directory).filter((it) => /\.(ldb|log)$/.test(it))) {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    for (let at = 7; at < bytes.length; at += 97) bytes[at]! ^= 1 << (at % 8);
    writeFileSync(path, bytes);
  }
  const { point } = await it.backUp(contents, 'two');
  isSame(await it.contentsOf(point), contents);
});

test('a store that is not mounted gets no marks', async () => {
  const it = await engine();
  const first = await it.backUp(noise(MiB, 11));
  await using store = await openStore(world, it.directory);
  await using reader = openBlockReader(store, {});
  const root = first.point.disks[0]!;
  await using disk = manifestDisk(reader, { name: 'vda', root, keys: it.set.keys });
  renameSync(it.directory, `${it.directory}.away`);
  await rejects(disk.read(new Uint8Array(4096), 0));
  ok(!existsSync(it.directory));
});

test('frames behind a damaged header of a pack are found, and keep their places', async () => {
  const it = await engine();
  const contents = noise(2 * MiB, 12);
  const first = await it.backUp(contents);
  flip(it.pack(1), 4, PACK_HEADER_LENGTH - 8);
  equal((await it.check(true)).length, 1);
  isSame(await it.contentsOf(first.point), contents);
  rmSync(join(it.directory, 'block-index'), { recursive: true });
  await it.backUp(contents);
  rmSync(it.pack(1));
  isSame(await it.contentsOf(first.point), contents);
});
