import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { deepEqual, equal, notDeepEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../src/block/memory.ts';
import { readLayer, writeLayer } from '../../src/block/layer.ts';
import { STATUS } from '../../src/formats/wire/nfs3.ts';
import { PROGRAMS } from '../../src/formats/wire/rpc.ts';
import { parseNetworks } from '../../src/sys/networks.ts';
import type { XdrWriter } from '../../src/formats/wire/xdr.ts';
import { crashingFs } from '../support/crashing-fs.ts';
import {
  type Args,
  type Attributes,
  readAfter,
  readAttributes,
  readChange,
  rpcClient,
  type RpcClient,
} from '../support/nfs-client.ts';
import {
  DISK_SIZE,
  LOCAL,
  type NfsServer,
  type NfsServerOptions,
  serveSession,
} from '../support/nfs-server.ts';
import { noise, pattern, seeded } from '../support/random.ts';

const MiB = 2 ** 20;

interface Session extends AsyncDisposable {
  readonly server: NfsServer;
  readonly client: RpcClient;
  /** The session's directory. */
  readonly directory: Uint8Array;
}

async function session(options: NfsServerOptions = {}): Promise<Session> {
  const server = await serveSession(options);
  const client = await rpcClient(server.target.ports.nfs);
  const { handle } = await client.mount('/holdfast/vm-1');
  return {
    server,
    client,
    directory: handle,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const named =
  (directory: Uint8Array, name: string): Args =>
  (to) => {
    to.opaque(directory);
    to.text(name);
  };

async function lookup(client: RpcClient, directory: Uint8Array, name: string) {
  const { status, results } = await client.nfs('lookup', named(directory, name));
  if (status !== 0) return { status, handle: new Uint8Array(0), attributes: undefined };
  const handle = results.opaque(64).slice();
  return { status, handle, attributes: readAfter(results) };
}

async function attributes(client: RpcClient, handle: Uint8Array): Promise<Attributes> {
  const { status, results } = await client.nfs('getattr', (to) => to.opaque(handle));
  equal(status, 0);
  return readAttributes(results);
}

async function read(client: RpcClient, handle: Uint8Array, offset: number, count: number) {
  const { status, results } = await client.nfs('read', (to) => {
    to.opaque(handle);
    to.u64(offset);
    to.u32(count);
  });
  if (status !== 0) return { status, count: 0, isEnd: false, data: new Uint8Array(0) };
  readAfter(results);
  return { status, count: results.u32(), isEnd: results.flag(), data: results.opaque(2 * MiB) };
}

async function write(
  client: RpcClient,
  handle: Uint8Array,
  { at, data, stable }: { at: number; data: Uint8Array; stable: number },
) {
  const { status, results } = await client.nfs('write', (to) => {
    to.opaque(handle);
    to.u64(at);
    to.u32(data.length);
    to.u32(stable);
    to.opaque(data);
  });
  const change = readChange(results);
  if (status !== 0) return { status, change, count: 0, committed: 0, verifier: '' };
  const [count, committed] = [results.u32(), results.u32()];
  return {
    status,
    change,
    count,
    committed,
    verifier: Buffer.from(results.fixed(8)).toString('hex'),
  };
}

/** sattr3 that sets nothing, or a mode, or a size. */
const attributesArgs = (
  to: XdrWriter,
  { mode, size }: { mode?: number; size?: number } = {},
): void => {
  to.flag(mode !== undefined);
  if (mode !== undefined) to.u32(mode);
  to.flag(false);
  to.flag(false);
  to.flag(size !== undefined);
  if (size !== undefined) to.u64(size);
  to.u32(0);
  to.u32(0);
};

async function create(
  client: RpcClient,
  directory: Uint8Array,
  name: string,
  mode: 0 | 1 | Uint8Array = 1,
) {
  const { status, results } = await client.nfs('create', (to) => {
    named(directory, name)(to);
    to.u32(typeof mode === 'number' ? mode : 2);
    if (typeof mode === 'number') attributesArgs(to, { mode: 0o644 });
    else to.fixed(mode);
  });
  if (status !== 0) return { status, handle: new Uint8Array(0) };
  results.flag();
  return { status, handle: results.opaque(64).slice() };
}

const remove = async (client: RpcClient, directory: Uint8Array, name: string) =>
  (await client.nfs('remove', named(directory, name))).status;

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

async function list(
  client: RpcClient,
  directory: Uint8Array,
  { plus, size }: { plus: boolean; size: number },
): Promise<string[]> {
  const found: string[] = [];
  let cookie = 0;
  for (let isEnd = false; !isEnd; ) {
    const { status, results } = await client.nfs(plus ? 'readdirplus' : 'readdir', (to) => {
      to.opaque(directory);
      to.u64(cookie);
      // What an earlier reply held, or anything: it is not looked at.
      to.fixed(new Uint8Array(8));
      to.u32(size);
      if (plus) to.u32(size);
    });
    equal(status, 0);
    readAfter(results);
    deepEqual(results.fixed(8), new Uint8Array(8), 'a constant verifier');
    while (results.flag()) {
      results.skip(8);
      found.push(results.text(255));
      cookie = results.u64();
      if (!plus) continue;
      ok(readAfter(results));
      equal(results.flag(), true);
      results.opaque(64);
    }
    isEnd = results.flag();
  }
  return found;
}

test('GETATTR does not wait behind reads of a slow medium', async () => {
  const { promise: release, resolve } = Promise.withResolvers<void>();
  const size = 64 * MiB;
  const slow = readLayer('slow', { size, blockSize: 4096 }, { read: () => release });
  const device = { ...slow, write: async () => {}, zero: async () => {}, flush: async () => {} };
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

test('what is asked of the whole: sizes, limits, space', async () => {
  await using it = await session();
  const info = await it.client.nfs('fsinfo', (to) => to.opaque(it.directory));
  readAfter(info.results);
  const [rtmax, , , wtmax] = Array.from({ length: 6 }, () => info.results.u32());
  deepEqual([rtmax, wtmax], [MiB, MiB]);
  const stat = await it.client.nfs('fsstat', (to) => to.opaque(it.directory));
  readAfter(stat.results);
  const [total, free] = [stat.results.u64(), stat.results.u64()];
  ok(free > 0 && total >= free + DISK_SIZE);
  const conf = await it.client.nfs('pathconf', (to) => to.opaque(it.directory));
  readAfter(conf.results);
  conf.results.u32();
  equal(conf.results.u32(), 255);
});

test('what is not there is refused in the way that lets clients go on', async () => {
  await using it = await session();
  const { ports } = it.server.target;
  const ask = (program: number, version: number) =>
    it.client.call({ program, version, procedure: 0 });
  for (const version of [2, 4]) {
    const { accepted, results } = await ask(PROGRAMS.nfs.number, version);
    deepEqual([accepted, results.u32(), results.u32()], [2, 3, 3]);
  }
  equal((await ask(100_227, 3)).accepted, 1, 'NFSACL');
  equal((await it.client.call({ ...{ program: 100_003, version: 3 }, procedure: 22 })).accepted, 3);
  const { results } = await it.client.call({ ...{ program: 100_003, version: 3 }, procedure: 1 });
  equal(results.at, 24, 'arguments that are missing are garbage');

  await using portmap = await rpcClient(ports.portmap);
  for (const version of [3, 4]) {
    const { accepted, results } = await portmap.call({ program: 100_000, version, procedure: 4 });
    deepEqual([accepted, results.u32(), results.u32()], [2, 2, 2]);
  }
  const portOf = async (program: number, transport = 6) => {
    const args: Args = (to) => [program, 3, transport, 0].forEach((word) => to.u32(word));
    return (await portmap.call({ ...PORTMAP, procedure: 3, args })).results.u32();
  };
  equal(await portOf(100_003), ports.nfs);
  equal(await portOf(100_005), ports.mount);
  equal(await portOf(100_021), ports.nfs);
  equal(await portOf(100_003, 17), 0, 'no NFS in datagrams');
  equal(await portOf(100_024), 0);
});

const PORTMAP = { program: 100_000, version: 2 } as const;

test('the port mapper answers datagrams', async () => {
  await using it = await session();
  const socket = createSocket('udp4');
  const ask = async (version: number, procedure: number, ...args: number[]) => {
    const words = [9, 0, 2, 100_000, version, procedure, 0, 0, 0, 0, ...args];
    const call = Buffer.alloc(words.length * 4);
    words.forEach((word, index) => call.writeUInt32BE(word, index * 4));
    socket.send(call, it.server.target.ports.portmap, '127.0.0.1');
    const [reply] = (await once(socket, 'message')) as [Buffer];
    return Array.from({ length: reply.length / 4 }, (_, n) => reply.readUInt32BE(n * 4));
  };
  deepEqual(await ask(2, 3, 100_003, 3, 6, 0), [9, 1, 0, 0, 0, 0, it.server.target.ports.nfs]);
  deepEqual(await ask(4, 3), [9, 1, 0, 0, 0, 2, 2, 2]);
  equal((await ask(2, 4)).filter((word) => word === 100_000).length, 2, 'DUMP: over TCP and UDP');
  // No call at all: no answer, and no harm.
  socket.send(Buffer.alloc(3), it.server.target.ports.portmap, '127.0.0.1');
  deepEqual(await ask(2, 0), [9, 1, 0, 0, 0, 0]);
  socket.close();
});

test('files are made as asked: unchecked, guarded, exclusive', async () => {
  await using it = await session();
  const { client, directory } = it;
  const one = await create(client, directory, 'f');
  await write(client, one.handle, { at: 0, data: noise(100, 1), stable: 2 });
  equal((await create(client, directory, 'f', 1)).status, STATUS.exists);
  deepEqual((await create(client, directory, 'f', 0)).handle, one.handle);
  equal((await attributes(client, one.handle)).size, 100, 'not cut off: nobody asked for it');
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

test('exports are closed to whoever was not named, on every call', async () => {
  await using it = await session();
  const { target, tree } = it.server;
  const strangers = { ...LOCAL, allow: parseNetworks(['10.0.0.0/8', 'fd00::/8']) };
  target.export('secret', tree, { access: strangers, tag: 78, generation: 5 });
  const root = await it.client.mount('/holdfast');
  equal(root.status, 0);
  deepEqual(await list(it.client, root.handle, { plus: true, size: 4096 }), ['.', '..', 'vm-1']);
  equal((await lookup(it.client, root.handle, 'secret')).status, STATUS.notFound);
  equal((await it.client.mount('/holdfast/secret')).status, STATUS.notFound);
  // A handle of the other session, as one could make it up.
  const forged = it.directory.slice();
  forged[11] = 78;
  equal((await it.client.nfs('getattr', (to) => to.opaque(forged))).status, STATUS.access);
  const old = it.directory.slice();
  old[15] = 6;
  equal((await it.client.nfs('getattr', (to) => to.opaque(old))).status, STATUS.stale);
  const foreign = noise(24, 1);
  equal((await it.client.nfs('getattr', (to) => to.opaque(foreign))).status, STATUS.badHandle);

  await using closed = await serveSession({ access: strangers });
  const stranger = await rpcClient(closed.target.ports.nfs);
  await stranger.closed;
  await rejects(stranger.mount('/holdfast'), { message: /ended/ });
});

test('ports, squashing and read-only exports', async () => {
  {
    await using it = await session({ access: { privilegedPorts: true } });
    equal((await it.client.mount('/holdfast/vm-1')).status, STATUS.access);
  }
  {
    await using it = await session({ access: { readOnly: true } });
    const { handle } = await lookup(it.client, it.directory, 'vda.raw');
    equal(
      (await write(it.client, handle, { at: 0, data: noise(1, 1), stable: 0 })).status,
      STATUS.readOnly,
    );
    equal((await create(it.client, it.directory, 'f')).status, STATUS.readOnly);
    equal(await remove(it.client, it.directory, 'vm.vmx'), STATUS.readOnly);
    equal((await read(it.client, handle, 0, 512)).count, 512);
  }
  {
    await using it = await session({ access: { squash: 'root' } });
    const { handle } = await lookup(it.client, it.directory, 'vda.raw');
    equal((await read(it.client, handle, 0, 512)).status, STATUS.access);
    equal((await create(it.client, it.directory, 'f')).status, STATUS.access);
    const asOther = await it.client.nfs('getattr', (to) => to.opaque(handle), { uid: 5, gid: 5 });
    equal(asOther.status, 0);
  }
});

test('locks exclude others, over ranges, until they are given back', async () => {
  await using it = await session();
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const lock = (
    procedure: number,
    who: number,
    { from, length, exclusive = true }: { from: number; length: number; exclusive?: boolean },
  ) =>
    it.client.call({
      ...{ program: 100_021, version: 4, procedure, as: { uid: 0, gid: 0 } },
      args(to) {
        to.opaque(Buffer.from('cookie'));
        if (procedure === 2) to.flag(false);
        if (procedure !== 4) to.flag(exclusive);
        to.text('host');
        to.opaque(handle);
        to.opaque(Buffer.from(`owner${who}`));
        to.u32(who);
        to.u64(from);
        to.u64(length);
        if (procedure === 2) to.flag(false);
        if (procedure === 2) to.u32(0);
      },
    });
  const status = async (reply: ReturnType<typeof lock>) => {
    const { results } = await reply;
    equal(Buffer.from(results.opaque(100)).toString(), 'cookie');
    return { status: results.u32(), results };
  };
  const [TEST, LOCK, UNLOCK] = [1, 2, 4];
  equal((await status(lock(LOCK, 1, { from: 100, length: 100 }))).status, 0);
  equal((await status(lock(LOCK, 2, { from: 199, length: 1 }))).status, 1);
  equal((await status(lock(LOCK, 2, { from: 200, length: 0 }))).status, 0);
  const { status: denied, results } = await status(lock(TEST, 3, { from: 0, length: 0 }));
  equal(denied, 1);
  deepEqual([results.flag(), results.u32()], [true, 1]);
  // The same owner gives back the middle.
  equal((await status(lock(UNLOCK, 1, { from: 120, length: 10 }))).status, 0);
  equal((await status(lock(LOCK, 3, { from: 120, length: 10 }))).status, 0);
  equal((await status(lock(LOCK, 3, { from: 119, length: 1 }))).status, 1);
  const shared = { from: 1000, length: 10, exclusive: false };
  equal((await status(lock(UNLOCK, 2, { from: 0, length: 0 }))).status, 0);
  equal((await status(lock(LOCK, 1, shared))).status, 0);
  equal((await status(lock(LOCK, 2, shared))).status, 0);
  equal((await status(lock(LOCK, 3, { ...shared, exclusive: true }))).status, 1);
  notDeepEqual(handle, it.directory);
});
