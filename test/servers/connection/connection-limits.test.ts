import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { connect, isIPv6, type Socket } from 'node:net';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import type { ByteStream } from '../../../src/sys/net/network.ts';
import { parseNetworks, peerNetwork } from '../../../src/sys/net/networks.ts';
import { connectionLimits } from '../../../src/servers/connection/connection-limits.ts';
import { openNbdTarget } from '../../../src/servers/nbd/server.ts';
import { rpcClient } from '../../support/nfs-client.ts';
import { listeningTarget, LOCAL, sessionTree } from '../../support/nfs-server.ts';
import { pattern } from '../../support/random.ts';

// Hosts that connect as often as they can are no reason to turn another away.

/** More than any server takes of one host. */
const GREEDY = 140;

/** Resolves once all are connected, and those for which there is no room were ended. */
async function greedy(port: number, localAddress: string): Promise<Disposable> {
  const sockets: Socket[] = [];
  const first = Promise.withResolvers<void>();
  for (let n = 0; n < GREEDY; n++) {
    const socket = connect({
      port,
      host: isIPv6(localAddress) ? '::1' : '127.0.0.1',
      localAddress,
    });
    socket.on('error', () => {});
    socket.on('close', () => first.resolve());
    socket.resume();
    sockets.push(socket);
    await once(socket, 'connect');
  }
  await first.promise;
  return { [Symbol.dispose]: () => sockets.forEach((it) => it.destroy()) };
}

async function nbdServer() {
  const listen = { kind: 'tcp', host: '::', port: 0 } as const;
  const target = await openNbdTarget({ clock: systemClock(), listen, memory: guestMemory() });
  target.export('vda', memoryDevice(pattern(4096)), { description: 'a disk', readOnly: true });
  return target;
}

async function isServedByNbd(port: number): Promise<void> {
  await using disk = await openNbdDisk(`nbd://[::1]:${port}/vda`);
  equal(disk.geometry.size, 4096);
}

// 127.0.0.2 is another host than 127.0.0.1. (A20)
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

test('NBD: hosts that say nothing leave room for one that chooses an export', async () => {
  await using target = await nbdServer();
  using _one = await greedy(target.port!, HOSTS[0]!);
  using _two = await greedy(target.port!, HOSTS[1]!);
  using _three = await greedy(target.port!, HOSTS[2]!);
  await isServedByNbd(target.port!);
});

test('NBD: a host that says nothing leaves room for itself', async () => {
  await using target = await nbdServer();
  using _many = await greedy(target.port!, '::1');
  await isServedByNbd(target.port!);
});

test('NBD: a host that has disks leaves room for itself too, when another says nothing', async () => {
  await using target = await nbdServer();
  await using disk = await openNbdDisk(`nbd://127.0.0.1:${target.port}/vda`);
  using _one = await greedy(target.port!, HOSTS[0]!);
  using _two = await greedy(target.port!, HOSTS[1]!);
  await disk.read(new Uint8Array(512), 0);
  await isServedByNbd(target.port!);
});

function stream(address: string, onEnd = (): void => {}): ByteStream {
  return { peer: { address, port: 1 }, destroy: onEnd } as Partial<ByteStream> as ByteStream;
}

test('a host that uses few makes room for itself at the cost of one that uses most', async () => {
  const room = connectionLimits({ yields: 'to-others' });
  const ended: string[] = [];
  const enter = (host: string, name: string) =>
    room.enter(stream(host, () => void ended.push(name)));
  const members = new Map<string, ReturnType<typeof enter>>();
  for (let n = 0; n < 128; n++) {
    for (const host of ['10.0.0.1', '10.0.0.2']) {
      members.set(`${host} ${n}`, enter(host, `${host} ${n}`));
    }
  }
  equal(room.size, 256);
  // A host's own guests are never ended for its next.
  equal(enter('10.0.0.1', 'one too many'), undefined);
  deepEqual(ended, []);
  members.get('10.0.0.1 0')!.heard();
  members.get('10.0.0.2 0')!.heard();
  ok(enter('10.0.0.3', 'new'));
  deepEqual(ended, ['10.0.0.1 1'], 'of one that has most, the one that was silent for longest');
  equal(room.size, 256);
});

test('NBD: also while no client is answered yet', async () => {
  await using target = await nbdServer();
  target.hold();
  using _one = await greedy(target.port!, HOSTS[0]!);
  using _two = await greedy(target.port!, HOSTS[1]!);
  const served = isServedByNbd(target.port!);
  // By now it waits: these came after it.
  using _three = await greedy(target.port!, HOSTS[2]!);
  target.answer();
  await served;
});

test('NFS: served or not yet, the same', async () => {
  const allow = parseNetworks(['127.0.0.0/8', '::1']);
  await using tree = await sessionTree();
  await using target = await listeningTarget('::', 'elsewhere');
  target.export('vm', tree, { access: [{ ...LOCAL, allow }], tag: 7, generation: 1 });
  const { nfs: port } = target.ports;
  {
    using _one = await greedy(port, HOSTS[0]!);
    using _two = await greedy(port, HOSTS[1]!);
    await using client = await rpcClient(port, '::1');
    equal((await client.mount('/holdfast/vm')).status, 0);
    // Those that came later end others, and not one that talks.
    using _three = await greedy(port, HOSTS[2]!);
    equal((await client.mount('/holdfast/vm')).status, 0);
  }
  target.hold();
  using _many = await greedy(port, HOSTS[0]!);
  await using client = await rpcClient(port, '::1');
  const mounted = client.mount('/holdfast/vm');
  using _others = await greedy(port, HOSTS[1]!);
  target.answer();
  equal((await mounted).status, 0);
});

test('a host that has a network of IPv6 counts once', async () => {
  const room = connectionLimits({ yields: 'to-others' });
  const taken = Array.from({ length: 200 }, (_, n) =>
    room.enter(stream(`fd00::7:${n.toString(16)}:1`)),
  );
  equal(taken.filter((it) => it !== undefined).length, 128);
  ok(room.enter(stream('fd00:0:0:1::1')));
  equal(peerNetwork('fd00:1:2:3:4:5:6:7'), 'fd00:1:2:3::/64');
  equal(peerNetwork('::1'), '0:0:0:0::/64');
  equal(peerNetwork('10.0.0.7'), '10.0.0.7');
});
