import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../src/block/memory.ts';
import { openNbdDisk } from '../../src/block/nbd-disk.ts';
import { systemClock } from '../../src/sys/clock.ts';
import { type ByteStream, connect } from '../../src/sys/network.ts';
import { parseNetworks } from '../../src/sys/networks.ts';
import { openNbdTarget } from '../../src/targets/nbd/target.ts';
import { rpcClient } from '../support/nfs-client.ts';
import { listeningTarget, LOCAL, sessionTree } from '../support/nfs-server.ts';
import { pattern } from '../support/random.ts';

// One host that connects as often as it can is no reason to turn another away.

/** More than any server takes; resolves once the last was refused. */
const GREEDY = 257;

async function crowd(port: number): Promise<Disposable> {
  const streams: ByteStream[] = [];
  let last: Promise<unknown> = Promise.resolve();
  for (let n = 0; n < GREEDY; n++) {
    const stream = await connect({ kind: 'tcp', host: '127.0.0.1', port });
    last = new Promise((resolve) => (stream.onClose = resolve));
    stream.start();
    streams.push(stream);
  }
  await last;
  return { [Symbol.dispose]: () => streams.forEach((it) => it.destroy()) };
}

async function nbdServer() {
  const listen = { kind: 'tcp', host: '::', port: 0 } as const;
  const target = await openNbdTarget({ clock: systemClock(), listen });
  target.export('vda', memoryDevice(pattern(4096)), { description: 'a disk', readOnly: true });
  return target;
}

async function isServedByNbd(port: number): Promise<void> {
  await using disk = await openNbdDisk(`nbd://[::1]:${port}/vda`);
  equal(disk.geometry.size, 4096);
}

test('NBD: a host that takes all connections it can get leaves some for others', async () => {
  await using target = await nbdServer();
  using _many = await crowd(target.port!);
  await isServedByNbd(target.port!);
});

test('NBD: while nobody is answered yet too', async () => {
  await using target = await nbdServer();
  target.hold();
  using _many = await crowd(target.port!);
  const served = isServedByNbd(target.port!);
  // By now it waits: this one came after it.
  await refused(target.port!);
  target.answer();
  await served;
});

test('NFS: served or not yet, the same', async () => {
  const allow = parseNetworks(['127.0.0.0/8', '::1']);
  await using tree = await sessionTree();
  await using target = await listeningTarget('::');
  target.export('vm', tree, { access: [{ ...LOCAL, allow }], tag: 7, generation: 1 });
  const { nfs: port } = target.ports;
  {
    using _many = await crowd(port);
    await using client = await rpcClient(port, '::1');
    equal((await client.mount('/holdfast/vm')).status, 0);
  }
  target.hold();
  using _many = await crowd(port);
  await using client = await rpcClient(port, '::1');
  const mounted = client.mount('/holdfast/vm');
  await refused(port);
  target.answer();
  equal((await mounted).status, 0);
});

/** One more of the host that has too many. */
async function refused(port: number): Promise<void> {
  const stream = await connect({ kind: 'tcp', host: '127.0.0.1', port });
  await new Promise((resolve) => {
    stream.onClose = resolve;
    stream.start();
  });
}
