import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { STATUS } from '../../../src/formats/wire/nfs3.ts';
import { parseNetworks } from '../../../src/sys/net/networks.ts';
import { rangeLocks } from '../../../src/servers/nfs/locks/range-locks.ts';
import { replayCache } from '../../../src/servers/nfs/rpc/replay-cache.ts';
import { type Attributes, rpcClient, type RpcClient } from '../../support/nfs-client.ts';
import {
  attributes,
  create,
  list,
  lookup,
  read,
  session,
  type Session,
  write,
} from '../../support/nfs-calls.ts';
import { listeningTarget, LOCAL, sessionTree } from '../../support/nfs-server.ts';

// One server for many sessions: each has rules of its own, and what happens to one is no other's affair.

const OVER_IPV4 = { ...LOCAL, allow: parseNetworks(['127.0.0.1']) };
const OVER_IPV6 = { ...LOCAL, allow: parseNetworks(['::1']) };

/** `one` is for hosts that come over IPv4, `other` and the recovery points are for those over IPv6. */
async function twoSessions() {
  const stack = new AsyncDisposableStack();
  const target = stack.use(await listeningTarget('::'));
  const [one, other] = [stack.use(await sessionTree()), stack.use(await sessionTree())];
  const exportOne = () => target.export('one', one, { access: [OVER_IPV4], tag: 7, generation: 1 });
  const first = exportOne();
  target.export('other', other, { access: [OVER_IPV6], tag: 8, generation: 2 });
  target.export('points/nightly', other, { access: [OVER_IPV6], tag: 9, generation: 3 });
  const { nfs: port } = target.ports;
  const client = stack.use(await rpcClient(port, '127.0.0.1'));
  return {
    ...{ target, port, client, first, exportOne },
    ipv6: stack.use(await rpcClient(port, '::1')),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A handle as anyone can make it up. */
function forged(tag: number, generation: number, id: number): Uint8Array {
  const bytes = Buffer.alloc(24);
  [0x4846_6e68, 1, tag, generation, id, 0].forEach((it, at) => bytes.writeUInt32BE(it, at * 4));
  return bytes;
}

async function statusOf(client: RpcClient, handle: Uint8Array): Promise<number> {
  return (await client.nfs('getattr', (to) => to.opaque(handle))).status;
}

/** The groups of MOUNT's EXPORT, and how many entries its DUMP has. */
async function told(client: RpcClient) {
  const mount = { program: 100_005, version: 3 };
  const dumped = await client.call({ ...mount, procedure: 2 });
  const { results } = await client.call({ ...mount, procedure: 5 });
  const groups: string[] = [];
  if (results.flag()) {
    equal(results.text(64), '/holdfast');
    while (results.flag()) groups.push(results.text(64));
  }
  return { groups, dumped: dumped.results.flag() };
}

test('a host that one session allows finds no other, whatever it forges, lists or asks for', async () => {
  await using it = await twoSessions();
  const { handle: root } = await it.client.mount('/holdfast');
  const { handle: one } = await it.client.mount('/holdfast/one');
  deepEqual(await list(it.client, root, { plus: true, size: 4096 }), ['.', '..', 'one']);
  deepEqual(await list(it.ipv6, root, { plus: false, size: 4096 }), ['.', '..', 'points', 'other']);
  for (const path of ['other', 'points', 'points/nightly', 'other/vda.raw', 'one/../other']) {
    equal((await it.client.mount(`/holdfast/${path}`)).status, STATUS.notFound, path);
  }
  for (const name of ['other', 'points', 'points/nightly', './other']) {
    equal((await lookup(it.client, root, name)).status, STATUS.notFound, name);
  }
  // Up from the one session is the export, and down from there only that session again.
  const { handle: up } = await lookup(it.client, one, '..');
  deepEqual(up, root);
  for (let id = 0; id < 20; id++) {
    equal(await statusOf(it.client, forged(8, 2, id)), STATUS.access);
    equal(await statusOf(it.client, forged(9, 3, id)), STATUS.access);
    equal((await read(it.client, forged(8, 2, id), 0, 512)).status, STATUS.access);
    equal((await create(it.client, forged(8, 2, id), 'x')).status, STATUS.access);
  }
  // The directory of recovery points has a handle that anyone can guess, and nothing in it for this host.
  deepEqual(await list(it.client, forged(0, 0, 2), { plus: true, size: 4096 }), ['.', '..']);
  equal((await lookup(it.client, forged(0, 0, 2), 'nightly')).status, STATUS.notFound);
  equal(await statusOf(it.client, forged(0, 0, 3)), STATUS.badHandle);
  // A file of the other session cannot be linked or moved into this one either.
  const linked = await it.client.nfs('link', (to) => {
    to.opaque(forged(8, 2, 3));
    to.opaque(one);
    to.text('stolen');
  });
  equal(linked.status, STATUS.access);
  deepEqual(await told(it.client), { groups: ['127.0.0.1'], dumped: false });
  deepEqual(await told(it.ipv6), { groups: ['::1'], dumped: false });
  equal((await attributes(it.client, root)).links, 1, 'how many there are is not told');
  equal((await it.ipv6.mount('/holdfast/points/nightly')).status, 0);
});

test('each session is read-only, squashed and for privileged ports by itself', async () => {
  await using it = await session();
  const { target, tree } = it.server;
  target.export('squashed', tree, { access: [{ ...LOCAL, squash: 'all' }], tag: 8, generation: 1 });
  target.export('read', tree, { access: [{ ...LOCAL, readOnly: true }], tag: 9, generation: 1 });
  target.export('low', tree, {
    access: [
      { ...LOCAL, privilegedPorts: true },
      { ...LOCAL, allow: parseNetworks(['::1']) },
    ],
    ...{ tag: 10, generation: 1 },
  });
  const made = async (name: string): Promise<number> => {
    const { status, handle } = await it.client.mount(`/holdfast/${name}`);
    return status === 0 ? (await create(it.client, handle, 'f')).status : -status;
  };
  deepEqual(await Promise.all(['squashed', 'read', 'low', 'vm-1'].map(made)), [
    STATUS.access,
    STATUS.readOnly,
    -STATUS.notFound,
    0,
  ]);
});

/** Whether nothing is answered while others are. */
async function isSilent(it: { client: RpcClient }, handle: Uint8Array): Promise<boolean> {
  let isAnswered = false;
  const asked = attributes(it.client, handle).then(
    (): unknown => (isAnswered = true),
    () => {},
  );
  const { handle: root } = await it.client.mount('/holdfast');
  await attributes(it.client, root);
  void asked;
  return !isAnswered;
}

test('a session that stops is silent for its own clients only; when it is back they continue', async () => {
  await using it = await session();
  const { target, tree } = it.server;
  const options = { access: [LOCAL], tag: 8, generation: 1 };
  let asked = 0;
  const onAsked = (): void => void asked++;
  const away = target.export('away', tree, { ...options, onAsked });
  const { handle } = await it.client.mount('/holdfast/away');
  const before: Attributes = await attributes(it.client, handle);
  await away[Symbol.asyncDispose]();
  ok(await isSilent(it, handle));
  ok(asked > 0);
  const { handle: root } = await it.client.mount('/holdfast');
  deepEqual(await list(it.client, root, { plus: true, size: 4096 }), ['.', '..', 'vm-1']);
  const vain = rejects(it.client.mount('/holdfast/away'), /ended/);
  await attributes(it.client, it.directory);
  target.export('away', tree, options);
  await it.client.closed;
  await vain;
  await using again = await rpcClient(target.ports.nfs);
  deepEqual(await attributes(again, handle), before);
});

test('a session that will not be back is stale, and its locks are released', async () => {
  await using it = await session();
  const { target, tree } = it.server;
  const gone = target.export('gone', tree, { access: [LOCAL], tag: 8, generation: 1 });
  const { handle } = await it.client.mount('/holdfast/gone');
  await gone[Symbol.asyncDispose]();
  ok(await isSilent(it, handle));
  target.forget('gone');
  await it.client.closed;
  await using again = await rpcClient(target.ports.nfs);
  equal(await statusOf(again, handle), STATUS.stale);
  equal((await again.mount('/holdfast/gone')).status, STATUS.notFound);
  equal((await again.mount('/holdfast/vm-1')).status, 0);
});

test('what is under way when a session stops is answered, and what it breaks is not an error', async () => {
  const gate = Promise.withResolvers<void>();
  const slow = memoryDevice(new Uint8Array(65_536));
  await using it = await session({
    device: {
      ...slow,
      tryRead: () => false,
      async read(into, offset) {
        await gate.promise;
        return slow.read(into, offset);
      },
    },
  });
  const { target, tree } = it.server;
  const shown = target.export('slow', tree, { access: [LOCAL], tag: 8, generation: 1 });
  const { handle } = await it.client.mount('/holdfast/slow');
  const { handle: file } = await lookup(it.client, handle, 'vda.raw');
  const answer = read(it.client, file, 0, 512);
  // Sent before it, and so answered after the server has it.
  await attributes(it.client, handle);
  const stopped = shown[Symbol.asyncDispose]();
  gate.resolve();
  await stopped;
  equal((await answer).count, 512);
  ok(await isSilent(it, handle));
});

const collect = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

/** A session that the client reads and writes, and that ends; returns its disk, unless it is not held. */
async function passing(it: Session, tag: number, isForgotten: boolean): Promise<WeakRef<object>> {
  const { target } = it.server;
  const contents = new Uint8Array(65_536);
  await using tree = await sessionTree({ device: memoryDevice(contents) });
  const shown = target.export(`s${tag}`, tree, { access: [LOCAL], tag, generation: 1 });
  const { handle } = await it.client.mount(`/holdfast/s${tag}`);
  const { handle: file } = await lookup(it.client, handle, 'vda.raw');
  equal((await read(it.client, file, 0, 512)).count, 512);
  equal((await write(it.client, file, { at: 0, data: contents.slice(512), stable: 0 })).status, 0);
  await shown[Symbol.asyncDispose]();
  if (isForgotten) target.forget(`s${tag}`);
  return new WeakRef(contents);
}

test('what was shown is not kept in memory for clients that stay', async () => {
  await using it = await session();
  const ended = [
    await passing(it, 8, false),
    await passing(it, 9, true),
    await passing(it, 10, false),
  ];
  // What is under way at its end is over.
  await attributes(it.client, it.directory);
  collect();
  deepEqual(
    ended.map((disk) => disk.deref() === undefined),
    [true, true, true],
  );
  await attributes(it.client, it.directory);
});

test('while it is held new clients wait; then all are served', async () => {
  await using it = await session();
  const { target } = it.server;
  target.hold();
  const early = await rpcClient(target.ports.nfs);
  const mounted = early.mount('/holdfast/vm-1');
  equal((await it.client.mount('/holdfast/vm-1')).status, 0, 'who was there before goes on');
  target.answer();
  equal((await mounted).status, 0);
  await early[Symbol.asyncDispose]();
  await target.leave();
  await it.client.closed;
  const waiting = connectTcp(target.ports.nfs, '127.0.0.1');
  await once(waiting, 'connect');
  waiting.on('error', () => {});
  await it.server[Symbol.asyncDispose]();
  await once(waiting, 'close');
});

test('one client cannot take all locks, nor push the replies of others out', async () => {
  const locks = rangeLocks();
  const lockOf = (address: string, start: number) =>
    locks.take('7 1', {
      ...{ owner: `${address} ${start}`, host: address, address, exclusive: true, process: 1 },
      ...{ handle: new Uint8Array(0), start, end: start + 1 },
    });
  let taken = 0;
  while (lockOf('a', taken) === undefined) taken++;
  equal(lockOf('a', taken), 'FULL');
  equal(lockOf('b', taken), undefined);
  locks.releaseFiles('7 ');
  equal(lockOf('a', 0), undefined);

  const replays = replayCache();
  const say = (key: string): void => {
    equal(replays.begin(key), undefined);
    replays.end(key, Uint8Array.of(1));
  };
  say('quiet 1 x');
  for (let n = 0; n < 100_000; n++) say(`loud ${n} x`);
  deepEqual(replays.begin('quiet 1 x'), Uint8Array.of(1));
  equal(replays.begin('loud 0 x'), undefined, 'it has pushed out its own');
});
