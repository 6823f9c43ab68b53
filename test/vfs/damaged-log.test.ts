import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { systemClock } from '../../src/sys/base/clock.ts';
import { systemRandom } from '../../src/sys/base/random.ts';
import { contentId } from '../../src/vfs/contents.ts';
import { namespace } from '../../src/vfs/namespace.ts';
import { sealedContents, type TreeSeal } from '../../src/vfs/sealed-contents.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  readTrailer,
} from '../../src/formats/store/sessions/overlay-log.ts';
import { checkSessionTree } from '../../src/vfs/session-tree.ts';
import { noise } from '../support/random.ts';
import { FILE, FIRST, fresh, HOME, PLENTY, SEAL, treeOn } from '../support/session-tree.ts';

const LOG = `${HOME}/files.log`;

/** Ten files of a session, each synced before the next one was made. */
async function tenFiles(seal: TreeSeal | 'none' = SEAL) {
  const files = fresh();
  const names = Array.from({ length: 10 }, (_, n) => `f${n}`);
  const ends: number[] = [];
  {
    await using tree = await treeOn(files, { seal });
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
    await rejects(
      checkSessionTree(files, HOME, { clock: systemClock(), first: FIRST, seal: undefined }),
      corrupt,
    );
  }
});

test('a missing log of names is not replaced while there are contents that it named', async () => {
  const { files } = await tenFiles();
  const before = await files.list(HOME);
  await files.unlink(LOG);
  const corrupt = { name: 'TreeError', code: 'CORRUPT', message: /files\.log is missing/ };
  await rejects(treeOn(files), corrupt);
  await rejects(
    checkSessionTree(files, HOME, { clock: systemClock(), first: FIRST, seal: undefined }),
    corrupt,
  );
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

test('a log with records that were altered, left out, moved or taken from another session is damaged', async () => {
  const { files, ends, bytes } = await tenFiles();
  const records = ends.map((end, n) => bytes.subarray(n === 0 ? 8 : ends[n - 1]!, end));
  const start = bytes.subarray(0, ends[0]);
  const altered = Uint8Array.from(records[4]!);
  const view = new DataView(altered.buffer);
  const end = 8 + view.getUint32(0, true);
  altered[altered.subarray(0, end).lastIndexOf('1'.charCodeAt(0))] = '2'.charCodeAt(0);
  view.setUint32(4, crc32(altered.subarray(8, end)), true);
  const logs = {
    altered: [start, ...records.slice(1, 4), altered, ...records.slice(5)],
    'left out': [start, ...records.slice(1, 4), ...records.slice(5)],
    moved: [start, records[2]!, records[1]!, ...records.slice(3)],
    'of another session': [(await tenFiles({ ...SEAL, session: 'vm-2' })).bytes],
    'without MACs': [(await tenFiles('none')).bytes],
  };
  for (const [what, parts] of Object.entries(logs)) {
    await files.unlink(LOG);
    await using file = await files.create(LOG);
    await file.write(Buffer.concat(parts), 0);
    const corrupt = { name: 'TreeError', code: 'CORRUPT', message: /MAC/ };
    await rejects(treeOn(files), corrupt, what);
    await rejects(
      checkSessionTree(files, HOME, { clock: systemClock(), first: FIRST, seal: SEAL }),
      corrupt,
      what,
    );
  }
});

test('what a session wrote before it had sealed logs stays, is sealed above, and its names get MACs', async () => {
  const { files, names } = await tenFiles('none');
  const seal = { ...SEAL, takesPlain: true };
  let id: number;
  {
    await using tree = await treeOn(files, { seal });
    id = tree.lookup(tree.root, names[3]!)!;
    await tree.write(id, noise(10, 50), 500, 'durable');
    await tree.change(tree.lookup(tree.root, names[4]!)!, { size: 100 });
    await tree.change(tree.lookup(tree.root, names[4]!)!, { size: 1000 });
  }
  const plain = await files.readFile(`${HOME}/file-${id}`, 2000);
  deepEqual(plain, noise(1000, 3), 'it is only read');
  deepEqual(await checkSessionTree(files, HOME, { clock: systemClock(), first: FIRST, seal }), []);
  await using tree = await treeOn(files, { seal });
  for (const [n, name] of names.entries()) {
    const expected = noise(1000, n);
    if (n === 3) expected.set(noise(10, 50), 500);
    if (n === 4) expected.fill(0, 100);
    const found = new Uint8Array(1000);
    await tree.read(tree.lookup(tree.root, name)!, found, 0);
    deepEqual(found, expected, name);
  }
});

test('contents that have rotted are found by a check that has the key', async () => {
  const { files, names } = await tenFiles(SEAL);
  const check = () =>
    checkSessionTree(files, HOME, { clock: systemClock(), first: FIRST, seal: SEAL });
  let id: number;
  {
    await using tree = await treeOn(files, { seal: SEAL });
    id = tree.lookup(tree.root, names[3]!)!;
  }
  deepEqual(await check(), []);
  const segment = (await files.list(HOME)).find(
    (name) => contentId(name) === id && name.endsWith('.seg'),
  );
  await using file = await files.open(`${HOME}/${segment}`, 'write');
  const slot = new Uint8Array(PLACE_LENGTH);
  let place = 1;
  do await file.read(slot, ++place * PLACE_LENGTH);
  while (readTrailer(slot, PAGE_LENGTH)?.kind !== 'pages');
  await file.write(Uint8Array.of(slot[5]! ^ 1), place * PLACE_LENGTH + 5);
  match((await check()).join(), /^file "[^"]+": page 0 of disk _file-\d+ .* is damaged in /);
});

test('contents that are missing are damaged, and never read as zeros', async () => {
  for (const seal of ['none', SEAL] as const) {
    const { files, names } = await tenFiles(seal);
    await using tree = await treeOn(files, { seal });
    const id = tree.lookup(tree.root, names[3]!)!;
    for (const name of await files.list(HOME)) {
      if (contentId(name) === id) await files.unlink(`${HOME}/${name}`);
    }
    await rejects(tree.read(id, new Uint8Array(10), 0), { message: /is missing/ });
    if (seal === 'none') continue;
    const found = await checkSessionTree(files, HOME, { clock: systemClock(), first: FIRST, seal });
    match(found.join(), /_file-\d+\.head is missing/);
  }
});

test('bytes that were written to a sealed log beyond the size that was flushed do not come back', async () => {
  const { files, names } = await tenFiles();
  let id: number;
  {
    await using tree = await treeOn(files);
    id = tree.lookup(tree.root, names[3]!)!;
  }
  {
    const parts = { files, clock: systemClock(), random: systemRandom(), directory: HOME };
    const contents = sealedContents({ ...parts, space: PLENTY, seal: SEAL });
    await using file = await contents.open(id, 1000);
    await file.write(noise(500, 99), 1000);
  }
  await using tree = await treeOn(files);
  await tree.write(id, noise(500, 98), 1500, 'cached');
  const bytes = new Uint8Array(2000);
  await tree.read(id, bytes, 0);
  deepEqual(bytes.subarray(0, 1000), noise(1000, 3));
  deepEqual(bytes.subarray(1000, 1500), new Uint8Array(500));
});

test('contents whose node the log does not know are kept under another name', async () => {
  const { files, names, ends, bytes } = await tenFiles('none');
  const before = (await files.list(HOME)).filter((name) => name.startsWith('file-'));
  {
    await using file = await files.open(LOG, 'write');
    await file.truncate(ends[8]!);
  }
  {
    await using tree = await treeOn(files, { seal: 'none' });
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
  const { files, names } = await tenFiles('none');
  let id: number;
  {
    await using tree = await treeOn(files, { seal: 'none' });
    id = tree.lookup(tree.root, names[3]!)!;
  }
  {
    await using file = await files.open(`${HOME}/file-${id}`, 'write');
    await file.write(noise(500, 99), 1000);
  }
  await using tree = await treeOn(files, { seal: 'none' });
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
