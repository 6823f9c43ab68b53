import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { systemClock } from '../../src/sys/base/clock.ts';
import { systemRandom } from '../../src/sys/base/random.ts';
import { treeContents } from '../../src/vfs/contents.ts';
import { plainContents } from '../../src/vfs/plain-contents.ts';
import { sealedContents } from '../../src/vfs/sealed-contents.ts';
import { broken, faultyFs } from '../support/faulty-fs.ts';
import { noise } from '../support/random.ts';
import { FILE, fresh, gatedFs, HOME, PLENTY, SEAL, treeOn } from '../support/session-tree.ts';

test('who flushes while another one does is answered when that is durable, and not before', async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  let isGated = false;
  let syncs = 0;
  const files = gatedFs(fresh(), async (what) => {
    if (what !== 'sync') return;
    syncs++;
    if (isGated) await gate;
  });
  await using tree = await treeOn(files, { seal: 'none' });
  const id = await tree.make(tree.root, 'a', FILE);
  await tree.write(id, noise(5000, 1), 0, 'cached');
  isGated = true;
  const before = syncs;
  const answered: string[] = [];
  const asked = [
    tree.flush(id).then(() => answered.push('first')),
    tree.flush(id).then(() => answered.push('second')),
    tree.write(id, noise(10, 2), 0, 'durable').then(() => answered.push('write')),
    tree.change(id, { size: 4000 }).then(() => answered.push('resize')),
  ];
  await systemClock().sleep(20);
  deepEqual(answered, []);
  release();
  await Promise.all(asked);
  equal(answered.length, 4);
  equal(syncs - before, 2, 'later callers share the next one');
  await tree.flush(id);
  equal(syncs - before, 2, 'nothing is left');
});

test('writes that wait behind a removal are refused, and nothing is left of the file', async () => {
  for (const gatedCall of ['write', 'create'] as const) {
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    let isGated = false;
    const inner = fresh();
    const files = gatedFs(inner, async (what) => {
      if (isGated && what === gatedCall) await gate;
    });
    await using tree = await treeOn(files, { seal: 'none' });
    const id = await tree.make(tree.root, 'a', FILE);
    if (gatedCall === 'write') await tree.write(id, noise(5000, 1), 0, 'durable');
    isGated = true;
    const writes = [
      tree.write(id, noise(5000, 2), 0, 'cached'),
      tree.write(id, noise(5000, 3), 100, 'durable'),
      tree.change(id, { size: 10 }),
      tree.write(id, noise(5000, 4), 200, 'cached'),
    ].map((it) => it.then(() => 'done').catch(({ code }: { code: string }) => code));
    const removal = tree.remove(tree.root, 'a', 'other');
    await systemClock().sleep(10);
    release();
    await removal;
    deepEqual(await Promise.all(writes), ['STALE', 'STALE', 'STALE', 'STALE']);
    const names = await inner.list(HOME);
    ok(!names.includes(`file-${id}`), `${gatedCall}: ${names.join(' ')}`);
  }
});

test('no file is made for contents whose node is gone, whatever is requested', async () => {
  const files = fresh();
  await files.makeDirectory(HOME);
  const parts = { files, directory: HOME, space: PLENTY };
  const world = { clock: systemClock(), random: systemRandom() };
  const sealed = sealedContents({ ...parts, ...world, seal: SEAL });
  for (const form of [plainContents(parts), sealed]) {
    await using contents = treeContents({ files: form, sizeOf: () => undefined });
    const asked = [
      contents.read(7, new Uint8Array(10), 0),
      contents.write(7, noise(10, 1), 0, () => {}),
      contents.sync(7),
      contents.resize(7, 10, () => {}),
    ];
    for (const each of asked) await rejects(each, { code: 'STALE' });
    await contents.remove(7);
    deepEqual(await files.list(HOME), []);
  }
});

test('contents that could not be synced stay lost: no later flush or write of that file succeeds', async () => {
  let isBroken = false;
  const files = faultyFs(fresh(), (operation, path) =>
    isBroken && operation === 'sync' && !path.endsWith('.log') ? broken(path) : undefined,
  );
  await using tree = await treeOn(files, { seal: 'none' });
  const id = await tree.make(tree.root, 'a', FILE);
  const other = await tree.make(tree.root, 'b', FILE);
  await tree.write(id, noise(5000, 1), 0, 'cached');
  await tree.write(other, noise(5000, 1), 0, 'cached');
  isBroken = true;
  const both = await Promise.allSettled([tree.flush(id), tree.flush(id)]);
  deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  isBroken = false;
  await rejects(tree.flush(id), { name: 'TreeError', code: 'IO' });
  await rejects(tree.write(id, noise(1, 1), 0, 'cached'), { name: 'TreeError', code: 'IO' });
  await rejects(tree.write(id, noise(1, 1), 0, 'durable'), { name: 'TreeError', code: 'IO' });
  await rejects(tree.change(id, { size: 7 }), { name: 'TreeError', code: 'IO' });
  await tree.flush(other);
  await tree.write(other, noise(1, 1), 0, 'durable');
  await tree.remove(tree.root, 'a', 'other');
});
