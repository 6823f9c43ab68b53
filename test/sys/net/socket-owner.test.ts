import { deepEqual, equal } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTo, createServer, type Socket } from 'node:net';
import { test } from 'tap';
import { plainAddress } from '../../../src/sys/net/network.ts';
import { socketOwners } from '../../../src/sys/net/socket-owner.ts';

const UID = process.getuid!();

async function connectedTo(host: string, from = host) {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const arrived = once(server, 'connection') as Promise<[Socket]>;
  const client = connectTo({ host: from, port });
  const [socket] = await arrived;
  const peer = { address: plainAddress(socket.remoteAddress!), port: socket.remotePort! };
  const local = { address: plainAddress(socket.localAddress!), port: socket.localPort! };
  return {
    ...{ client, peer, local, port },
    end() {
      client.destroy();
      socket.destroy();
      server.close();
    },
  };
}

test('a connection from this machine is its user’s, over either family', async () => {
  const owners = socketOwners();
  for (const [host, from] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['::', '127.0.0.1'],
    ['::', '::ffff:127.0.0.1'],
  ] as const) {
    const it = await connectedTo(host, from);
    equal(await owners.of(it.peer, it.local), UID, `${from} to ${host}`);
    it.end();
  }
});

test('one whose socket is closed already has no owner', async () => {
  const it = await connectedTo('127.0.0.1');
  it.client.destroy();
  await once(it.client, 'close');
  equal(await socketOwners().of(it.peer, it.local), 'gone');
  it.end();
});

test('an address of this machine is never taken for another machine’s', async () => {
  const owners = socketOwners(async () => '');
  const local = { address: '127.0.0.1', port: 2049 };
  equal(await owners.of({ address: '127.0.0.9', port: 1 }, local), 'gone');
  equal(await owners.of({ address: '::1', port: 1 }, local), 'gone');
  equal(await owners.of({ address: '192.0.2.1', port: 1 }, local), 'elsewhere');
});

test('what the kernel lists is read as it is meant', async () => {
  const line = (state: string, user: number, inode: number): string =>
    `  1: 0100007F:03E7 0100007F:0801 ${state} 0000:0000 00:0000 0000 ${user}        0 ${inode} 1 0\n`;
  const found = (text: string) =>
    socketOwners(async (name) => (name === 'tcp' ? text : '')).of(
      { address: '127.0.0.1', port: 999 },
      { address: '127.0.0.1', port: 2049 },
    );
  equal(await found(line('01', 65_534, 4711)), 65_534);
  // TIME_WAIT, and one that its process has closed: both are listed as root's.
  equal(await found(line('06', 0, 0)), 'gone');
  equal(await found(line('01', 0, 0)), 'gone');
  equal(await found(line('04', 0, 4711)), 'gone');
});

test('many who come at once share a reading of the list', async () => {
  let read = 0;
  const owners = socketOwners(async () => {
    read++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return '';
  });
  const local = { address: '10.0.0.1', port: 2049 };
  const all = Array.from({ length: 500 }, (_, n) =>
    owners.of({ address: '192.0.2.1', port: n + 1 }, local),
  );
  deepEqual(new Set(await Promise.all(all)), new Set(['elsewhere']));
  equal(read, 4, 'two files, each looked at twice');
});

test('another user’s socket is that user’s', { skip: UID !== 0 && 'needs root' }, async () => {
  const it = await connectedTo('127.0.0.1');
  const script = `require('net').connect(${it.port}, '127.0.0.1').on('connect', function () {
    console.log(this.localPort); setInterval(() => {}, 1000) })`;
  const child = execFile(process.execPath, ['-e', script], { uid: 65_534, gid: 65_534, cwd: '/' });
  const [said] = (await once(child.stdout!, 'data')) as [string];
  const peer = { address: '127.0.0.1', port: Number(said) };
  equal(await socketOwners().of(peer, it.local), 65_534);
  child.kill();
  it.end();
});
