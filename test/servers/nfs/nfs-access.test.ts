import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { STATUS } from '../../../src/formats/wire/nfs3.ts';
import { PROGRAMS } from '../../../src/formats/wire/rpc.ts';
import { permissions } from '../../../src/servers/nfs/exports/access.ts';
import type { TreeNode } from '../../../src/vfs/file-tree.ts';
import { parseNetworks } from '../../../src/sys/net/networks.ts';
import { type Args, rpcClient } from '../../support/nfs-client.ts';
import { LOCAL, serveSession } from '../../support/nfs-server.ts';
import { noise } from '../../support/random.ts';
import { create, list, lookup, read, remove, session, write } from '../../support/nfs-calls.ts';

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

test('exports are closed to hosts that are not named, on every call', async () => {
  await using it = await session();
  const { target, tree } = it.server;
  const strangers = { ...LOCAL, allow: parseNetworks(['10.0.0.0/8', 'fd00::/8']) };
  target.export('secret', tree, { access: [strangers], tag: 78, generation: 5 });
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

test('an export of a name or a tag that is taken is refused, and the first one stays', async () => {
  await using it = await session();
  const { target, tree } = it.server;
  const exists = { name: 'TreeError', code: 'EXISTS' };
  throws(() => target.export('vm-1', tree, { access: [LOCAL], tag: 78, generation: 5 }), exists);
  throws(() => target.export('vm-2', tree, { access: [LOCAL], tag: 77, generation: 5 }), exists);
  throws(() => target.export('vm-3', tree, { access: [LOCAL], tag: 0, generation: 5 }), exists);
  equal((await it.client.mount('/holdfast/vm-1')).status, 0);
});

test('a file is open to its owner, its group and others as its mode says, and to root', async () => {
  const node: TreeNode = {
    ...{ id: 2, kind: 'file', mode: 0o751, uid: 10, gid: 20, links: 1, size: 0 },
    ...{ accessedMs: 0, modifiedMs: 0, changedMs: 0 },
  };
  const who = (uid: number, gid: number, ...gids: number[]) =>
    permissions(node, { uid, gid, gids });
  deepEqual([who(10, 99), who(11, 20), who(11, 99, 20), who(11, 99, 98)], [7, 5, 5, 1]);
  deepEqual(permissions({ ...node, mode: 0o017 }, { uid: 10, gid: 20, gids: [] }), 0, 'the owner');
  deepEqual(permissions({ ...node, mode: 0o600 }, { uid: 0, gid: 0, gids: [] }), 6);
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

// A11
test('a local user is who the kernel says, whatever the call says', async () => {
  {
    await using it = await session({ owner: 65_534 });
    const { handle } = await lookup(it.client, it.directory, 'vda.raw');
    equal((await read(it.client, handle, 0, 512)).status, STATUS.access);
    const data = noise(512, 1);
    equal((await write(it.client, handle, { at: 0, data, stable: 2 })).status, STATUS.access);
    equal((await create(it.client, it.directory, 'f')).status, STATUS.access);
  }
  {
    // A user who may bind ports below 1024 here is not root by that.
    await using server = await serveSession({ access: { privilegedPorts: true }, owner: 65_534 });
    const client = await rpcClient(server.target.ports.nfs);
    await client.closed;
  }
  for (const owner of ['gone', 'elsewhere'] as const) {
    await using server = await serveSession({ owner });
    const client = await rpcClient(server.target.ports.nfs);
    if (owner === 'gone') await client.closed;
    else equal((await client.mount('/holdfast/vm-1')).status, 0);
    await client[Symbol.asyncDispose]();
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
});
