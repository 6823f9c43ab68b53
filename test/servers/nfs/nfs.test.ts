import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { readLayer, writeLayer } from '../../../src/block/layer.ts';
import { STATUS } from '../../../src/formats/wire/nfs3.ts';
import { PROGRAMS } from '../../../src/formats/wire/rpc.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { broken } from '../../support/faulty-fs.ts';
import {
  type Args,
  type Attributes,
  readAfter,
  readChange,
  rpcClient,
} from '../../support/nfs-client.ts';
import { DISK_SIZE, LEFT } from '../../support/nfs-server.ts';
import { noise, pattern, seeded } from '../../support/random.ts';
import {
  attributes,
  attributesArgs,
  create,
  list,
  lookup,
  named,
  read,
  remove,
  session,
  write,
} from '../../support/nfs-calls.ts';

const MiB = 2 ** 20;

test('handles have at most 56 bytes; they and file ids stay after a restart', async () => {
  const files = crashingFs(seeded(1)).files;
  let handle: Uint8Array;
  let before: Attributes;
  {
    await using it = await session({ files });
    ({ handle } = await lookup(it.client, it.directory, 'vda.raw'));
    ok(handle.length <= 56, `${handle.length}`);
    before = await attributes(it.client, handle);
  }
  await using it = await session({ files });
  const after = await attributes(it.client, handle);
  equal(after.fileId, before.fileId);
  equal(after.size, DISK_SIZE);
  const again = await lookup(it.client, it.directory, 'vda-flat.vmdk');
  deepEqual(again.handle, handle, 'one disk under two names');
});

test('what each client reads and writes is counted', async () => {
  await using it = await session();
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  await read(it.client, handle, 0, 4096);
  await read(it.client, handle, DISK_SIZE - 512, 4096);
  await write(it.client, handle, { at: 0, data: pattern(1000), stable: 0 });
  const { clients, traffic } = it.server.export;
  deepEqual(traffic, { readBytes: 4096 + 512, writtenBytes: 1000 });
  const used = clients.filter((client) => client.traffic.readBytes > 0);
  deepEqual(
    used.map((client) => ({ address: client.address, ...client.traffic })),
    [{ address: '127.0.0.1', ...traffic }],
  );
  await it.client[Symbol.asyncDispose]();
  await using other = await rpcClient(it.server.target.ports.nfs);
  await read(other, handle, 0, 100);
  const { readBytes, writtenBytes } = it.server.export.traffic;
  deepEqual([readBytes, writtenBytes], [4096 + 512 + 100, 1000], 'of those that have left too');
});

test('READ tells of the end with the data that reaches it', async () => {
  await using it = await session();
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const disk = pattern(DISK_SIZE);
  const cases: [number, number, number, boolean][] = [
    [0, 4096, 4096, false],
    [DISK_SIZE - 512, 512, 512, true],
    [DISK_SIZE - 512, 4096, 512, true],
    [DISK_SIZE - 513, 512, 512, false],
    [0, 2 * MiB, DISK_SIZE, true],
    [DISK_SIZE, 512, 0, true],
    [2 ** 60, 512, 0, true],
    [100, 0, 0, false],
  ];
  for (const [offset, wanted, count, isEnd] of cases) {
    const got = await read(it.client, handle, offset, wanted);
    deepEqual([got.status, got.count, got.isEnd, got.data.length], [0, count, isEnd, count]);
    deepEqual(Uint8Array.from(got.data), disk.subarray(offset, offset + count));
  }
});

test('writes: UNSTABLE with COMMIT under one verifier, FILE_SYNC is meant', async () => {
  let flushes = 0;
  const durable: string[] = [];
  const memory = memoryDevice(pattern(DISK_SIZE));
  const device = writeLayer('watched', memory.geometry, {
    read: (into, offset) => memory.read(into, offset),
    async write(from, offset, durability) {
      durable.push(durability);
      await memory.write(from, offset, durability);
    },
    async flush() {
      flushes++;
    },
  });
  let verifier: string;
  {
    await using it = await session({ device });
    const { handle } = await lookup(it.client, it.directory, 'vda.raw');
    const one = await write(it.client, handle, { at: 512, data: noise(1000, 1), stable: 0 });
    deepEqual([one.status, one.count, one.committed], [0, 1000, 0]);
    equal(flushes, 0);
    const commit = await it.client.nfs('commit', (to) => {
      to.opaque(handle);
      to.u64(0);
      to.u32(0);
    });
    readChange(commit.results);
    equal(Buffer.from(commit.results.fixed(8)).toString('hex'), one.verifier);
    equal(flushes, 1);
    for (const stable of [1, 2]) {
      const two = await write(it.client, handle, { at: 0, data: noise(512, 2), stable });
      deepEqual([two.committed, two.verifier], [2, one.verifier]);
    }
    deepEqual(durable, ['cached', 'durable', 'durable']);
    const got = await read(it.client, handle, 512, 1000);
    deepEqual(Uint8Array.from(got.data), noise(1000, 1));
    const past = await write(it.client, handle, {
      at: DISK_SIZE - 1,
      data: noise(2, 1),
      stable: 0,
    });
    equal(past.status, STATUS.tooLarge);
    verifier = one.verifier;
  }
  await using it = await session({ device: memoryDevice(pattern(DISK_SIZE)) });
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const three = await write(it.client, handle, { at: 0, data: noise(512, 2), stable: 0 });
  ok(three.verifier !== verifier, 'another process tells its clients to send again');
});

test('changes tell what was before and what is after', async () => {
  await using it = await session();
  const { handle } = await create(it.client, it.directory, 'log');
  const before = await attributes(it.client, handle);
  const { change } = await write(it.client, handle, { at: 10, data: noise(90, 1), stable: 0 });
  deepEqual(change.before, { size: 0, changed: before.changed });
  equal(change.after!.size, 100);
  deepEqual(change.after, await attributes(it.client, handle));
  ok(change.after.changed !== before.changed);
});

test('directories of any size are listed in pieces, an empty one too', async () => {
  await using it = await session();
  const names = Array.from({ length: 700 }, (_, n) => `entry-${n}`);
  for (const name of names) await it.server.tree.make(it.server.tree.root, name, FILE);
  for (const plus of [false, true]) {
    for (const size of [600, 4096, 65_536]) {
      const found = await list(it.client, it.directory, { plus, size });
      deepEqual(
        found.filter((name) => name.startsWith('entry')),
        names,
      );
      equal(found.length, names.length + 5);
    }
  }
  const empty = await it.client.nfs('mkdir', (to) => {
    named(it.directory, 'empty')(to);
    attributesArgs(to);
  });
  equal(empty.results.flag(), true);
  const handle = empty.results.opaque(64).slice();
  deepEqual(await list(it.client, handle, { plus: true, size: 4096 }), ['.', '..']);
  const small = await it.client.nfs('readdir', (to) => {
    to.opaque(it.directory);
    to.u64(0);
    to.fixed(new Uint8Array(8));
    to.u32(100);
  });
  equal(small.status, STATUS.tooSmall);
});

const FILE = { kind: 'file', mode: 0o644, uid: 0, gid: 0 } as const;

test('GETATTR does not wait behind reads of a slow medium', async () => {
  const { promise: release, resolve } = Promise.withResolvers<void>();
  const size = 64 * MiB;
  const slow = readLayer('slow', { size, blockSize: 4096 }, { read: () => release });
  const changing = { write: async () => {}, zero: async () => {}, flush: async () => {} };
  const device = { ...slow, tryWrite: () => false, ...changing };
  await using it = await session({ device });
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const reads = Array.from({ length: 200 }, (_, n) => read(it.client, handle, (n % 64) * MiB, MiB));
  equal((await attributes(it.client, handle)).size, size);
  resolve();
  equal((await Promise.all(reads)).filter(({ count }) => count === MiB).length, 200);
});

test('a call that is sent again gets the answer that it had', async () => {
  await using it = await session();
  const { number: program, version } = PROGRAMS.nfs;
  await create(it.client, it.directory, 'once');
  const call = {
    program,
    version,
    procedure: 12,
    args: named(it.directory, 'once'),
    as: { uid: 0, gid: 0 },
  };
  for (let n = 0; n < 3; n++) {
    const { results } = await it.client.call({ ...call, xid: 4242 });
    equal(results.u32(), 0);
  }
  const { results } = await it.client.call({ ...call, xid: 4243 });
  equal(results.u32(), STATUS.notFound);
  // Also over another connection: the first one may be why it is sent again.
  await create(it.client, it.directory, 'twice');
  const other = { ...call, args: named(it.directory, 'twice'), xid: 5000 };
  equal((await it.client.call(other)).results.u32(), 0);
  await using second = await rpcClient(it.server.target.ports.nfs);
  equal((await second.call(other)).results.u32(), 0);
});

test('records come in fragments, split anywhere', async () => {
  await using it = await session();
  const { number: program, version } = PROGRAMS.nfs;
  const args: Args = (to) => to.opaque(it.directory);
  for (const fragment of [1, 3, 4, 7, 40]) {
    const reply = await it.client.call({ program, version, procedure: 1, args, fragment });
    equal(reply.accepted, 0);
    equal(reply.results.u32(), 0);
  }
});

test('facts about the whole export: sizes, limits, space', async () => {
  await using it = await session();
  const info = await it.client.nfs('fsinfo', (to) => to.opaque(it.directory));
  readAfter(info.results);
  const [rtmax, , , wtmax] = Array.from({ length: 6 }, () => info.results.u32());
  deepEqual([rtmax, wtmax], [MiB, MiB]);
  const stat = await it.client.nfs('fsstat', (to) => to.opaque(it.directory));
  readAfter(stat.results);
  const [total, free] = [stat.results.u64(), stat.results.u64()];
  equal(free, LEFT);
  ok(total >= free + DISK_SIZE);
  const conf = await it.client.nfs('pathconf', (to) => to.opaque(it.directory));
  readAfter(conf.results);
  conf.results.u32();
  equal(conf.results.u32(), 255);
});

test('a disk that does not tell its free space is an error of that one call', async () => {
  const left = async (): Promise<number> => {
    throw broken('/session');
  };
  await using it = await session({ left });
  const stat = await it.client.nfs('fsstat', (to) => to.opaque(it.directory));
  equal(stat.status, STATUS.io);
  equal((await lookup(it.client, it.directory, 'vda.raw')).status, 0);
});

test('files are made as asked: unchecked, guarded, exclusive', async () => {
  await using it = await session();
  const { client, directory } = it;
  const one = await create(client, directory, 'f');
  await write(client, one.handle, { at: 0, data: noise(100, 1), stable: 2 });
  equal((await create(client, directory, 'f', 1)).status, STATUS.exists);
  deepEqual((await create(client, directory, 'f', 0)).handle, one.handle);
  equal((await attributes(client, one.handle)).size, 100, 'not cut off: no call asked for it');
  const [a, b] = [noise(8, 1), noise(8, 2)];
  const made = await create(client, directory, '.lck-01', a);
  deepEqual(await create(client, directory, '.lck-01', a), made, 'the same call again');
  equal((await create(client, directory, '.lck-01', b)).status, STATUS.exists);
  equal(await remove(client, directory, '.lck-01'), 0);
  equal((await client.nfs('getattr', (to) => to.opaque(made.handle))).status, STATUS.stale);
  equal(await remove(client, directory, 'vda.raw'), STATUS.access, 'disks stay');
  const node = await client.nfs('mknod', (to) => {
    named(directory, 'pipe')(to);
    to.u32(7);
    attributesArgs(to);
  });
  equal(node.status, STATUS.notSupported);
});

test('names: rename over, links, symbolic links, guarded changes', async () => {
  await using it = await session();
  const { client, directory } = it;
  const one = await create(client, directory, 'one');
  await create(client, directory, 'two');
  const renamed = await client.nfs('rename', (to) => {
    named(directory, 'one')(to);
    named(directory, 'two')(to);
  });
  equal(renamed.status, 0);
  deepEqual((await lookup(client, directory, 'two')).handle, one.handle);
  equal((await lookup(client, directory, 'one')).status, STATUS.notFound);
  const linked = await client.nfs('link', (to) => {
    to.opaque(one.handle);
    named(directory, 'three')(to);
  });
  equal(linked.status, 0);
  equal(readAfter(linked.results)!.links, 2);
  const symlink = await client.nfs('symlink', (to) => {
    named(directory, 'sym')(to);
    attributesArgs(to);
    to.text('two');
  });
  equal(symlink.status, 0);
  const { handle } = await lookup(client, directory, 'sym');
  const target = await client.nfs('readlink', (to) => to.opaque(handle));
  readAfter(target.results);
  equal(target.results.text(100), 'two');
  const guarded = await client.nfs('setattr', (to) => {
    to.opaque(one.handle);
    attributesArgs(to, { size: 5 });
    to.flag(true);
    to.u32(1);
    to.u32(1);
  });
  equal(guarded.status, STATUS.notSynced);
  equal((await lookup(client, directory, '..')).status, 0);
  equal((await lookup(client, directory, 'x'.repeat(256))).status, STATUS.nameTooLong);
});
