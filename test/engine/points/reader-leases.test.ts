import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'tap';
import { readPointFile } from '../../../src/catalog/point-files.ts';
import { listPoints } from '../../../src/catalog/points.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { type Engine, openPoint } from '../../../src/engine/base/engine.ts';
import { createBackup, restore } from '../../../src/engine/points/backups.ts';
import { catManifest } from '../../../src/engine/points/inspect.ts';
import { restoreImages } from '../../../src/engine/points/restore-images.ts';
import { checkStore } from '../../../src/engine/points/stores.ts';
import { openRestoredDisks } from '../../../src/engine/restores/restored-disks.ts';
import { serveDisposable } from '../../../src/sessions/proof/disposable-disks.ts';
import { heldRoots } from '../../../src/store/directory/reader-leases.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { backUpDescribed } from '../../support/described-points.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const SIZE = 2 ** 20;
const contents = noise(SIZE, 1);

/** An engine that tells how often it read of a pack, and how often of those it had a lease; `atFirst`: before all. */
function watched(engine: Engine, domain: string, atFirst = async () => {}) {
  let reads = 0;
  let leased = 0;
  const { packs } = engine.store;
  const own: Store['packs'] = {
    ...packs,
    // No thread reads beside this one.
    directory: undefined,
    tryRead: () => false,
    async read(...where) {
      if (reads++ === 0) await atFirst();
      if ((await heldRoots(engine.store, [domain])).roots.length > 0) leased++;
      return packs.read(...where);
    },
  };
  const store = new Proxy(engine.store, {
    get: (target, name) => (name === 'packs' ? own : (Reflect.get(target, name) as unknown)),
  });
  return { engine: { ...engine, store }, reads: () => reads, leased: () => leased };
}

interface Rig {
  readonly engine: Engine;
  readonly to: string;
}

const work = { secrets: KEY, signal: new AbortController().signal, report() {} };

/** What reads of a point, and how. */
const READERS: Readonly<Record<string, (rig: Rig) => Promise<void>>> = {
  async 'restore disk'({ engine, to }) {
    const image = join(to, 'vda.raw');
    const request = {
      point,
      disk: 'vda',
      to: image,
      format: 'raw',
      overwrite: false,
      erase: undefined,
    };
    await restore(engine, request, work);
    deepEqual(readFileSync(image), Buffer.from(contents));
  },
  async 'restore images'({ engine, to }) {
    const request = { point, to, format: 'raw', overwrite: false };
    await restoreImages(engine, request, { ...work, isSecret: () => false });
  },
  async 'restore to a hypervisor'({ engine }) {
    await using disks = await openRestoredDisks(engine, opened, ['vda']);
    equal((await disks.measure(work.signal)).length, 1);
  },
  async 'store check'({ engine }) {
    const { problems } = await checkStore(engine, { ...work, readData: false });
    deepEqual(problems, []);
  },
  async inspect({ engine }) {
    for await (const node of catManifest(engine, { point, disk: 'vda' }, KEY)) ok(node);
  },
  async 'a file of the machine'({ engine }) {
    const [file] = opened.point.files!;
    ok((await readPointFile(engine.store, opened.set, opened.point, file!)).length > 0);
  },
};

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
writeFileSync(image, contents);
const home = await engineIn(root);
const { id: point } = await backUpDescribed(home.store, 'vm', { image });
const engine = await home.open();
const opened = await openPoint(engine, point, KEY);
const domain = Buffer.from(opened.set.record.domain).toString('hex');
const held = async () => (await heldRoots(engine.store, [domain])).roots.length;
after(() => engine[Symbol.asyncDispose]());

for (const [name, read] of Object.entries(READERS)) {
  test(`${name}: each read of a pack is under a lease, which ends with it`, async () => {
    const it = watched(engine, domain);
    const to = temporaryDirectory();
    await read({ engine: it.engine, to });
    ok(it.reads() > 0, 'it reads');
    // A check of the packs themselves is of no point.
    if (name !== 'store check') equal(it.leased(), it.reads());
    ok(it.leased() > 0);
    equal(await held(), 0);
  });
}

test('a boot that proves a point has a lease until its disks are closed', async () => {
  await using borrowed = await engine.reader();
  const directory = join(root, 'overlays');
  await engine.store.files.makeDirectory(directory);
  const disks = await serveDisposable(engine.store, {
    ...{ ...opened, reader: borrowed.reader, memory: engine.guestMemory, directory },
    ...{ socket: join(root, 'socket'), user: undefined, onLost() {} },
  });
  ok((await held()) > 0);
  await disks[Symbol.asyncDispose]();
  equal(await held(), 0);
});

test('a restore goes on when its point is forgotten, and a backup when its parent is', async () => {
  const forget = (id: string) => () => forgetPoint(engine.store, { set: 'nightly', id });
  const to = join(root, 'restored');
  const request = { point, disk: 'vda', to, format: 'raw', overwrite: false, erase: undefined };
  const first = watched(engine, domain, forget(point));
  await restore(first.engine, request, work);
  deepEqual(readFileSync(to), Buffer.from(contents));
  equal(first.leased(), first.reads());

  const disks = [{ name: 'vda', where: image }];
  const asked = { set: 'nightly', machine: 'vm', disks, format: undefined };
  const own = { ...work, isSecret: () => false };
  const parent = await createBackup(engine, { ...asked, changed: undefined }, own);
  const changed = join(root, 'changed.json');
  const ranges = [{ offset: 0, length: 4096 }];
  writeFileSync(changed, JSON.stringify({ since: parent.point, disks: { vda: ranges } }));
  const second = watched(engine, domain, forget(parent.point));
  const next = await createBackup(second.engine, { ...asked, changed }, own);
  ok(second.reads() > 0, 'it reads the nodes of its parent');
  equal(second.leased(), second.reads());
  deepEqual(
    (await listPoints(engine.store, 'nightly')).points.map(({ id }) => id),
    [next.point],
  );
  const again = join(root, 'again');
  await restore(engine, { ...request, point: next.point, to: again }, work);
  deepEqual(readFileSync(again), Buffer.from(contents));
  equal(await held(), 0);
});
