import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { namespace } from '../../src/tree/namespace.ts';
import { checkSessionTree } from '../../src/tree/session-tree.ts';
import { noise } from '../support/random.ts';
import { FILE, FIRST, fresh, HOME, treeOn } from '../support/session-tree.ts';

const LOG = `${HOME}/files.log`;

/** Ten files of a session, each synced before the next one was made. */
async function tenFiles() {
  const files = fresh();
  const names = Array.from({ length: 10 }, (_, n) => `f${n}`);
  const ends: number[] = [];
  {
    await using tree = await treeOn(files);
    for (const [n, name] of names.entries()) {
      const id = await tree.make(tree.root, name, FILE);
      await tree.write(id, noise(1000, n), 0, 'durable');
      ends.push((await files.stat(LOG))!.size);
    }
  }
  return { files, names, ends, bytes: await files.readFile(LOG, 2 ** 20) };
}

// A2
test('a flipped byte in the middle of the log of names is reported; no name and no contents vanish', async () => {
  const { files, ends, bytes } = await tenFiles();
  const before = await files.list(HOME);
  for (let at = ends[2]! + 8; at < ends[4]!; at += 7) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1;
    await using file = await files.open(LOG, 'write');
    await file.write(damaged, 0);
    await rejects(treeOn(files), {
      name: 'TreeError',
      code: 'CORRUPT',
      message: /files\.log is damaged at byte \d+ of \d+: /,
    });
    deepEqual(await files.list(HOME), before);
    deepEqual(await files.readFile(LOG, 2 ** 20), damaged);
  }
});

test('a log of names that lacks its beginning is damaged, and says so', async () => {
  const { files, bytes } = await tenFiles();
  await using file = await files.open(LOG, 'write');
  for (const length of [8, 9, 200]) {
    await file.truncate(0);
    await file.write(bytes.subarray(0, length), 0);
    const corrupt = { name: 'TreeError', code: 'CORRUPT', message: /files\.log: its beginning/ };
    await rejects(treeOn(files), corrupt);
    await rejects(checkSessionTree(files, HOME, { first: FIRST, seal: undefined }), corrupt);
  }
});

test('a missing log of names is not replaced while there are contents that it named', async () => {
  const { files } = await tenFiles();
  const before = await files.list(HOME);
  await files.unlink(LOG);
  const corrupt = { name: 'TreeError', code: 'CORRUPT', message: /files\.log is missing/ };
  await rejects(treeOn(files), corrupt);
  await rejects(checkSessionTree(files, HOME, { first: FIRST, seal: undefined }), corrupt);
  deepEqual(
    await files.list(HOME),
    before.filter((name) => name !== 'files.log'),
  );
});

test('a record of which nothing but zeros got to the disk was torn', async () => {
  const { files, names, bytes } = await tenFiles();
  for (const length of [8, 9, 512, 5000]) {
    await using file = await files.open(LOG, 'write');
    await file.truncate(0);
    await file.write(Buffer.concat([bytes], bytes.length + length), 0);
    await using tree = await treeOn(files);
    equal(tree.lookup(tree.root, names[9]!) !== undefined, true);
  }
});

test('contents whose node the log does not know are kept under another name', async () => {
  const { files, names, ends, bytes } = await tenFiles();
  const before = (await files.list(HOME)).filter((name) => name.startsWith('file-'));
  {
    await using file = await files.open(LOG, 'write');
    await file.truncate(ends[8]!);
  }
  {
    await using tree = await treeOn(files);
    equal(tree.lookup(tree.root, names[8]!) !== undefined, true);
    equal(tree.lookup(tree.root, names[9]!), undefined);
  }
  const lost = (await files.list(HOME)).filter((name) => name.endsWith('.lost'));
  equal(lost.length, 1);
  deepEqual(await files.readFile(`${HOME}/${lost[0]!}`, 2 ** 20), noise(1000, 9));
  equal((await files.list(HOME)).filter((name) => name.startsWith('file-')).length, before.length);
  equal(bytes.length, ends[9]);
});

test('bytes that were written beyond the size that was flushed do not come back when the file grows', async () => {
  const { files, names } = await tenFiles();
  let id: number;
  {
    await using tree = await treeOn(files);
    id = tree.lookup(tree.root, names[3]!)!;
  }
  {
    await using file = await files.open(`${HOME}/file-${id}`, 'write');
    await file.write(noise(500, 99), 1000);
  }
  await using tree = await treeOn(files);
  await tree.change(id, { size: 2000 });
  const bytes = new Uint8Array(2000);
  await tree.read(id, bytes, 0);
  deepEqual(bytes.subarray(0, 1000), noise(1000, 3));
  deepEqual(bytes.subarray(1000), new Uint8Array(1000));
});

test('a log that is rewritten remembers which ids were used', async () => {
  const names = namespace();
  const now = 1;
  const node = { ...FILE, id: 9, links: 1, size: 0, accessedMs: now, modifiedMs: now } as const;
  const rest = { changedMs: now, target: undefined, disk: undefined, exclusive: undefined };
  names.apply([
    { op: 'put', node: { ...node, ...rest } },
    { op: 'drop', id: 9 },
  ]);
  const again = namespace();
  again.apply(names.whole());
  equal(again.number(), 10);
});
