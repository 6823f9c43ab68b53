import { deepEqual, equal, match, ok } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { test } from 'tap';
import { openEngine, type SecretSource } from '../../../src/engine/base/engine.ts';
import { forget } from '../../../src/engine/points/listed-points.ts';
import { findStrays } from '../../../src/engine/points/strays.ts';
import { checkStore } from '../../../src/engine/points/stores.ts';
import { repair } from '../../../src/engine/upkeep/repair.ts';
import { scrub } from '../../../src/engine/upkeep/scrub.ts';
import {
  encodePackFooter,
  encodePackHeader,
  PACK_HEADER_LENGTH,
} from '../../../src/formats/store/packs/pack.ts';
import { copiesFile } from '../../../src/formats/store/packs/copies.ts';
import { encodeSummed } from '../../../src/formats/store/base/json-record.ts';
import { render } from '../../../src/cli/render/store.ts';
import { backUp, KEY } from '../../support/engine.ts';
import { noise } from '../../support/random.ts';
import { copiedStore, images } from '../../support/two-machines.ts';

const MiB = 2 ** 20;
async function place() {
  const store = await copiedStore();
  const open = () => openEngine(store);
  const work = (secrets: SecretSource) => ({
    ...{ secrets, signal: new AbortController().signal, report() {} },
  });
  const points = join(store, 'sets/nightly/points');
  return {
    ...{ store, open, points },
    set: join(store, 'sets/nightly/set.json'),
    point: (machine: string) =>
      join(points, readdirSync(points).find((name) => name.startsWith(machine))!),
    pack: (number: number) => join(store, `packs/00000/0000000${number}.pack`),
    copyOf: (path: string) => join(store, 'copies', relative(store, path)),
    async repair({ dryRun = false, secrets = KEY } = {}) {
      await using engine = await open();
      const result = await repair(engine, { dryRun }, work(secrets));
      const names = result.mended.map(({ where }) => relative(store, where)).sort();
      return { ...result, names };
    },
    async check() {
      await using engine = await open();
      const { problems } = await checkStore(engine, { readData: true, ...work(KEY) });
      return problems.map(({ where, what }) => `${relative(store, where)}: ${what}`);
    },
    async strays() {
      await using engine = await open();
      return findStrays(engine);
    },
    async scrub() {
      await using engine = await open();
      return scrub(engine, { period: undefined }, work(KEY));
    },
  };
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes.set([bytes.at(offset)! ^ 1], offset < 0 ? bytes.length + offset : offset);
  writeFileSync(path, bytes);
}

test('packs of nodes and the records of points and sets exist twice, and little more does', async () => {
  const { copyOf, pack, point, set, strays, repair: mend } = await place();
  for (const path of [pack(2), pack(4), point('vm1'), point('vm2'), set]) {
    equal(Buffer.compare(readFileSync(copyOf(path)), readFileSync(path)), 0, path);
  }
  ok(!existsSync(copyOf(pack(1))), 'blocks do not');
  deepEqual(await strays(), []);
  deepEqual((await mend()).mended, []);
});

/** What redundancy allows to mend, by the path of the file, harmed in each way. */
const HARMS: Readonly<Record<string, (path: string) => void>> = {
  'a flipped byte': (path) => flip(path, 200),
  'a flipped byte at the end': (path) => flip(path, -3),
  'half of it': (path) =>
    writeFileSync(path, readFileSync(path).subarray(0, statSync(path).size / 2)),
  'all of it': (path) => rmSync(path),
};

test('each of them is put back from the other one, and then everything is whole', async () => {
  for (const [how, harm] of Object.entries(HARMS)) {
    const it = await place();
    const files = [it.pack(2), it.point('vm1'), it.set];
    const before = files.map((path) => readFileSync(path));
    // The record of a set has a copy beside it, too.
    for (const path of [...files, join(it.store, 'sets/nightly/set.copy.json')]) harm(path);
    ok((await it.check()).length > 2, how);
    const wanted = ['packs/00000/00000002.pack', 'sets/nightly/set.json'];
    const asked = await it.repair({ dryRun: true });
    deepEqual([asked.names.filter((name) => wanted.includes(name)), asked.lost], [wanted, []], how);
    ok(!existsSync(files[0]!) || Buffer.compare(readFileSync(files[0]!), before[0]!) !== 0);
    const { names, lost, hurt } = await it.repair();
    equal(names.length, 3, `${how}: ${names.join()}`);
    deepEqual([lost, hurt], [[], []], how);
    for (const [n, path] of files.entries()) {
      equal(Buffer.compare(readFileSync(path), before[n]!), 0, `${how}: ${path}`);
    }
    deepEqual(await it.check(), [], how);
    // The next backup finds an index that describes these packs.
    await backUp(it, 'vm1', images[0]);
    deepEqual((await it.repair()).mended, [], how);
  }
});

test('two copies that are damaged in different places make a whole one', async () => {
  const it = await place();
  const path = it.pack(2);
  const before = readFileSync(path);
  flip(path, 10);
  flip(it.copyOf(path), PACK_HEADER_LENGTH + 100);
  const { names, lost } = await it.repair();
  deepEqual([names, lost], [['copies/packs/00000/00000002.pack', 'packs/00000/00000002.pack'], []]);
  for (const one of [path, it.copyOf(path)]) equal(Buffer.compare(readFileSync(one), before), 0);
});

test('what has no whole copy is lost by name, and what is left of it is not touched', async () => {
  const it = await place();
  const path = it.pack(2);
  for (const one of [path, it.copyOf(path)]) flip(one, PACK_HEADER_LENGTH + 100);
  const before = readFileSync(path);
  const { names, lost, hurt } = await it.repair();
  deepEqual(names, []);
  equal(lost.length, 1);
  match(lost[0]!.what, /frame is damaged; its copy .*00000002\.pack: .*frame is damaged/);
  deepEqual(
    hurt.map(({ machine, nodes }) => [machine, nodes]),
    [['vm1', 1]],
  );
  equal(Buffer.compare(readFileSync(path), before), 0);
});

test('lost blocks are said by machine, and its next backup stores them again', async () => {
  const it = await place();
  for (const at of [500, 200_000]) flip(it.pack(1), PACK_HEADER_LENGTH + at);
  equal((await it.scrub()).wanted, 2);
  const { machines, hurt } = await it.repair();
  deepEqual(machines, [{ set: 'nightly', machine: 'vm1', blocks: 2 }]);
  equal(hurt[0]!.disk, 'vda');
  await backUp(it, 'vm1', images[0]);
  const mended = await it.repair();
  deepEqual([mended.wanted, mended.hurt, mended.machines], [0, [], []]);
});

test('a forgotten point stays forgotten, whatever becomes of its copy', async () => {
  const it = await place();
  const path = it.point('vm1');
  const saved = readFileSync(it.copyOf(path));
  {
    await using engine = await it.open();
    await forget(engine, basename(path, '.point'));
  }
  ok(!existsSync(it.copyOf(path)), 'its copy is gone');
  // As after a power cut, or with an older release, which knows no copies.
  writeFileSync(it.copyOf(path), saved);
  deepEqual((await it.repair()).mended, []);
  ok(!existsSync(path));
  ok(!existsSync(it.copyOf(path)));
});

test('a store without copies gets them at the end of a scrub, or by a repair', async () => {
  for (const by of ['scrub', 'repair'] as const) {
    const it = await place();
    rmSync(join(it.store, 'copies'), { recursive: true });
    deepEqual(await it.check(), []);
    await it[by]();
    for (const path of [it.pack(2), it.pack(4), it.point('vm1'), it.set]) {
      equal(Buffer.compare(readFileSync(it.copyOf(path)), readFileSync(path)), 0, path);
    }
  }
});

test('a scrub does not put damage into a copy', async () => {
  const it = await place();
  const copy = readFileSync(it.copyOf(it.pack(2)));
  flip(it.pack(2), PACK_HEADER_LENGTH + 100);
  flip(it.point('vm2'), 50);
  ok((await it.scrub()).problems.length > 0);
  equal(Buffer.compare(readFileSync(it.copyOf(it.pack(2))), copy), 0);
  deepEqual((await it.repair()).lost, []);
  deepEqual(await it.check(), []);
});

test('copies that cannot be written stop no backup', async () => {
  const it = await place();
  renameSync(join(it.store, 'copies'), join(it.store, 'was-copies'));
  writeFileSync(join(it.store, 'copies'), 'a file');
  writeFileSync(images[0], noise(2 * MiB, 9));
  await backUp(it, 'vm1', images[0]);
  writeFileSync(images[0], noise(2 * MiB, 1));
  rmSync(join(it.store, 'copies'));
  rmSync(join(it.store, 'was-copies'), { recursive: true });
  ok((await it.repair()).names.length >= 6);
});

/** A pack of nodes without any, as of another store. */
const emptyPack = (number: number): Buffer =>
  Buffer.concat([
    encodePackHeader({ kind: 'node', number, domain: new Uint8Array(16) }),
    encodePackFooter([], PACK_HEADER_LENGTH),
  ]);

test('a pack of nodes among the copies does not replace another pack of its number', async () => {
  for (const [number, at] of [
    [1, PACK_HEADER_LENGTH + 100],
    [1, 10],
    [2, PACK_HEADER_LENGTH + 100],
    [2, 10],
  ] as const) {
    const it = await place();
    const path = it.pack(number);
    writeFileSync(it.copyOf(path), emptyPack(number));
    flip(path, at);
    const before = readFileSync(path);
    const { names, lost } = await it.repair();
    equal(Buffer.compare(readFileSync(path), before), 0, `pack ${number}, harmed at ${at}`);
    deepEqual(names, []);
    match(lost.map(({ what }) => what).join(), /is not of this store|is a copy of another pack/);
  }
});

test('the copies of another store are neither used nor changed', async () => {
  for (const isNamed of [true, false]) {
    const it = await place();
    const owner = join(it.store, 'copies/copies.json');
    if (isNamed) writeFileSync(owner, copiesFile.encode({ store: 'other' }, 'checked'));
    else {
      rmSync(owner);
      writeFileSync(it.copyOf(it.pack(4)), emptyPack(4));
    }
    rmSync(it.copyOf(it.point('vm2')));
    const kept = Math.floor(statSync(it.pack(2)).size / 2);
    writeFileSync(it.pack(2), readFileSync(it.pack(2)).subarray(0, kept));
    const { names, lost } = await it.repair();
    deepEqual(names, []);
    match(lost.at(-1)!.what, /copies of another store|do not say of which store they are/);
    equal(statSync(it.pack(2)).size, kept);
    match((await it.scrub()).problems.at(-1)!.where, /copies$/);
    ok(!existsSync(it.copyOf(it.point('vm2'))));
  }
});

test('copies that name no store are taken over if their packs are those of the store', async () => {
  const it = await place();
  const owner = join(it.store, 'copies/copies.json');
  const record = readFileSync(owner);
  rmSync(owner);
  flip(it.pack(2), PACK_HEADER_LENGTH + 100);
  deepEqual((await it.repair()).names, ['packs/00000/00000002.pack']);
  deepEqual(readFileSync(owner), record);
});

test('the copy of a point stays unless the point was forgotten, and is reported', async () => {
  for (const isBackedUp of [false, true]) {
    const it = await place();
    const path = it.point('vm1');
    const copy = it.copyOf(path);
    rmSync(path);
    const heads = join(it.store, 'sets/nightly/heads');
    for (const name of readdirSync(heads)) rmSync(join(heads, name));
    // Writes a head that does not name the lost point.
    if (isBackedUp) await backUp(it, 'vm1', images[0]);
    await it.scrub();
    const { lost } = await it.repair();
    match(lost.map(({ what }) => what).join(), /whether it was forgotten is not known/);
    ok(existsSync(copy));
    ok(!existsSync(path));
  }
});

test('a disk of copies that refuses writes is one problem, and stops nothing', async () => {
  const it = await place();
  for (const path of [it.copyOf(it.pack(4)), it.copyOf(it.point('vm1'))]) {
    rmSync(path);
    mkdirSync(path);
  }
  const { problems, ended, found } = await it.scrub();
  ok(ended !== null);
  deepEqual([problems.length, found], [1, 1]);
  match(problems[0]!.what, /^second copies cannot be written: /);
  flip(it.pack(2), PACK_HEADER_LENGTH + 100);
  const { names, lost } = await it.repair();
  deepEqual(names, ['packs/00000/00000002.pack']);
  deepEqual(
    lost.map(({ where }) => relative(it.store, where)),
    ['copies'],
  );
});

const none: SecretSource = async () => undefined;

test('a repair without keys does not say that all is whole', async () => {
  const it = await place();
  const result = await it.repair({ secrets: none });
  deepEqual(result.locked, ['nightly']);
  const text = render['store/repair'].text(result);
  match(text, /set "nightly" is locked/);
  match(text, /No damage found in the parts that need no key\./);
  equal(render['store/repair'].text(await it.repair()), 'No damage found.');
});

test('a dry run marks nothing', async () => {
  const it = await place();
  rmSync(it.pack(1));
  const { hurt, wanted } = await it.repair({ dryRun: true });
  deepEqual([hurt.length, wanted], [1, 0]);
  ok((await it.repair()).wanted > 0);
});

test('without the key, a copy that differs is not overwritten', async () => {
  const it = await place();
  const copies = [it.copyOf(it.point('vm1')), it.copyOf(it.set)];
  // A record whose checksum is right, as of another version.
  const point = readFileSync(copies[0]!, 'latin1');
  const [line = ''] = point.split('\n');
  const { sum: _sum, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const summed = JSON.parse(
    Buffer.from(encodeSummed({ ...fields, tags: [] })).toString(),
  ) as object;
  writeFileSync(copies[0]!, `${JSON.stringify(summed)}\n${'0'.repeat(64)}\n`);
  const { sum: _set, ...set } = JSON.parse(readFileSync(copies[1]!, 'utf8')) as Record<
    string,
    unknown
  >;
  writeFileSync(copies[1]!, encodeSummed({ ...set, counter: 99 }));
  const before = copies.map((path) => readFileSync(path));
  deepEqual((await it.repair({ secrets: none })).names, []);
  deepEqual(
    copies.map((path) => readFileSync(path)),
    before,
  );
  deepEqual(
    (await it.repair()).names,
    copies.map((path) => relative(it.store, path)).sort(),
    'neither is authentic',
  );
});
