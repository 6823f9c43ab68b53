import { deepEqual, equal, match, notEqual, ok, rejects, throws } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path/posix';
import { test } from 'tap';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { faultyFs } from '../../support/faulty-fs.ts';
import { program } from '../../support/programs.ts';
import { pattern, seeded } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// The real file system, and the ones that tests put in its place, have to agree.
const root = temporaryDirectory();
let count = 0;
const kinds: Record<string, () => Promise<{ files: FileSystem; home: string }>> = {
  real: async () => ({ files: realFileSystem(), home: join(root, `${count++}`) }),
  crashing: async () => ({ files: crashingFs(seeded(1)).files, home: '/home' }),
  faulty: async () => ({
    files: faultyFs(realFileSystem(), () => undefined),
    home: join(root, `${count++}`),
  }),
};

for (const [name, open] of Object.entries(kinds)) {
  test(`${name}: files`, async () => {
    const { files, home } = await open();
    await files.makeDirectory(home);
    await files.makeDirectory(home);
    const path = join(home, 'a');
    {
      await using file = await files.create(path);
      await file.write(pattern(5000), 100);
      equal(await file.size(), 5100);
      const got = new Uint8Array(6000);
      equal(await file.read(got, 50), 5050);
      deepEqual(got.subarray(0, 50), new Uint8Array(50));
      deepEqual(got.subarray(50, 5050), pattern(5000));
      equal(file.readNow(got.subarray(0, 10), 5095), 5);
      // What was written a moment ago is in memory, where the file system can tell.
      notEqual(file.readCached(got.subarray(0, 5000), 100), false);
      equal(file.readCached(got.subarray(0, 6000), 100) ?? false, false);
      file.writeNow(new Uint8Array(3).fill(7), 200);
      await file.sync();
      await file.punchHole(4096, 1004);
      await file.allocate(5000, 1096);
      equal(await file.size(), 6096);
      await file.drop(0, 0);
      await file.truncate(8192);
      equal(await file.read(got.subarray(0, 4096), 4096), 4096);
      ok(got.subarray(0, 4096).every((byte) => byte === 0));
    }
    await rejects(files.create(path), { code: 'EXISTS' });
    equal((await files.readFile(path, 8192)).length, 8192);
    await rejects(files.readFile(path, 8191), { code: 'IO' });
    await using again = await files.open(path, 'read');
    const data = await again.nextData(0);
    equal(data?.start, 0);
    equal(await again.nextData(8192), undefined);
  });

  test(`${name}: names`, async () => {
    const { files, home } = await open();
    await files.makeDirectory(join(home, 'deep', 'er'));
    await rejects(files.open(join(home, 'x'), 'read'), { code: 'NOT_FOUND' });
    await rejects(files.create(join(home, 'no', 'x')), { code: 'NOT_FOUND' });
    await rejects(files.list(join(home, 'no')), { code: 'NOT_FOUND' });
    await rejects(files.unlink(join(home, 'x')), { code: 'NOT_FOUND' });
    equal(await files.stat(join(home, 'x')), undefined);
    for (const it of ['b', 'a']) await (await files.create(join(home, it)))[Symbol.asyncDispose]();
    deepEqual(await files.list(home), ['a', 'b', 'deep']);
    await files.rename(join(home, 'b'), join(home, 'a'));
    deepEqual(await files.list(home), ['a', 'deep']);
    equal((await files.stat(home))?.kind, 'directory');
    equal((await files.stat(join(home, 'a')))?.kind, 'file');
    await files.syncDirectory(home);
    await files.removeTree(join(home, 'deep'));
    await files.removeTree(join(home, 'deep'));
    deepEqual(await files.list(home), ['a']);
    const { freeBytes, totalBytes } = await files.space(home);
    ok(freeBytes > 0 && totalBytes >= freeBytes);
    match(await files.bootId(), /^[0-9a-f-]{36}$/);
    equal(await files.bootId(), await files.bootId());
  });

  test(`${name}: locks name their holder`, async () => {
    const { files, home } = await open();
    await files.makeDirectory(home);
    const path = join(home, 'lock');
    equal(await files.lockHolder(path), undefined);
    {
      await using _lock = await files.lock(path, 'the first');
      await rejects(files.lock(path, 'the second'), { code: 'BUSY', message: /the first/ });
      ok((await files.lockHolder(path))?.includes('the first'));
    }
    equal(await files.lockHolder(path), undefined);
    await using _again = await files.lock(path, 'the second');
  });
}

test('what a link leads to is read, and neither written nor locked', async () => {
  const files = realFileSystem();
  const home = join(root, 'linked');
  await files.makeDirectory(home);
  deepEqual(await files.links(home), []);
  deepEqual(await files.links(join(home, 'no')), []);
  const [path, link] = [join(home, 'file'), join(home, 'link')];
  writeFileSync(path, 'as it was');
  symlinkSync(path, link);
  deepEqual(await files.links(home), ['link']);
  equal(Buffer.from(await files.readFile(link, 100)).toString(), 'as it was');
  const refused = { code: 'INVALID', message: /link: it is a symbolic link/ };
  await rejects(files.open(link, 'write'), refused);
  await rejects(files.open(link, 'alone'), refused);
  await rejects(files.lock(link, 'this test'), refused);
  await rejects(files.create(link), { code: 'EXISTS' });
  equal(await files.lockHolder(link), undefined);
  equal(Buffer.from(await files.readFile(path, 100)).toString(), 'as it was');
});

test('a lock that is held for a moment, to find out who holds it, is no obstacle', async () => {
  const files = realFileSystem();
  const path = join(root, 'probed');
  const probe = spawn('flock', [path, 'sh', '-c', 'echo held; sleep 0.02']);
  await once(probe.stdout, 'data');
  await using _lock = await files.lock(path, 'the next holder');
});

test('a lock whose holder was killed is waited for until the last that had it is gone', async () => {
  const files = realFileSystem();
  const path = join(root, 'inherited');
  const { pid } = spawnSync('true');
  const record = { holder: 'the dead', pid, host: hostname(), since: new Date().toISOString() };
  writeFileSync(path, `${JSON.stringify(record)}\n`);
  const heir = spawn('flock', [path, 'sh', '-c', 'echo held; sleep 0.5']);
  await once(heir.stdout, 'data');
  await using _lock = await files.lock(path, 'the next holder');
});

test('on a full disk the holder of a lock has no name, but the lock, and gives it back', async () => {
  const files = realFileSystem();
  const full = join(root, 'full');
  await files.makeDirectory(full);
  await program('mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', full);
  try {
    const path = join(full, 'lock');
    writeFileSync(join(full, 'everything'), new Uint8Array(65_536));
    {
      await using _lock = await files.lock(path, 'the nameless');
      await rejects(files.lock(path, 'the second'), { code: 'BUSY', message: /another process/ });
    }
    await files.unlink(join(full, 'everything'));
    await using _again = await files.lock(path, 'the second');
    await rejects(files.lock(path, 'the third'), { code: 'BUSY', message: /the second/ });
  } finally {
    await program('umount', full);
  }
});

test('a kill leaves what was written, a power cut what was synced', async () => {
  const disk = crashingFs(() => 0);
  const file = await disk.files.create('/a');
  await disk.files.syncDirectory('/');
  await file.write(pattern(512), 0);
  await file.sync();
  await file.write(pattern(512, 1), 512);
  await disk.files.create('/b');
  const next = disk.kill();
  await rejects(file.write(pattern(512), 0), { name: 'PowerCut' });
  await rejects(disk.files.stat('/a'), { name: 'PowerCut' });
  const written = Uint8Array.from([...pattern(512), ...pattern(512, 1)]);
  deepEqual(await next.files.readFile('/a', 2048), written);
  equal(await next.files.bootId(), `00000000-0000-4000-8000-${'1'.padStart(12, '0')}`);
  const { files } = next.reboot();
  deepEqual(await files.readFile('/a', 2048), pattern(512));
  deepEqual(await files.list('/'), ['a']);
  equal(await files.bootId(), `00000000-0000-4000-8000-${'2'.padStart(12, '0')}`);
});

test('a file that is closed reads and writes no other that has its descriptor by then', async () => {
  const files = realFileSystem();
  const path = (name: string): string => join(root, `closed-${name}`);
  const length = 64 * 1024;
  for (const name of ['a', 'b']) writeFileSync(path(name), name.repeat(length));
  const file = await files.open(path('a'), 'write');
  const parts = Array.from({ length: 200 }, () => new Uint8Array(length));
  const reads = parts.map((part) => file.read(part, 0));
  const closed = file[Symbol.asyncDispose]();
  const others = Array.from({ length: 16 }, () => openSync(path('b'), 'r+'));
  await Promise.all(reads);
  await closed;
  for (const part of parts) ok(part.every((byte) => byte === 0x61));
  const other = await files.open(path('b'), 'write');
  await rejects(file.read(new Uint8Array(10), 0), /is closed already/);
  await rejects(file.write(new Uint8Array(10), 0), /is closed already/);
  throws(() => file.readNow(new Uint8Array(10), 0), /is closed already/);
  throws(() => file.writeNow(new Uint8Array(10), 0), /is closed already/);
  await rejects(file.truncate(0), /is closed already/);
  await rejects(file.punchHole(0, 4096), /is closed already/);
  equal(
    (await files.readFile(path('b'), length)).every((byte) => byte === 0x62),
    true,
  );
  await other[Symbol.asyncDispose]();
  for (const fd of others) closeSync(fd);
});
