import { deepEqual, equal, rejects } from 'node:assert/strict';
import { Socket } from 'node:dgram';
import { Server } from 'node:net';
import { mock } from 'node:test';
import { test } from 'tap';
import { answerDatagrams } from '../../../src/sys/net/datagrams.ts';
import { placeName } from '../../../src/sys/net/http-place.ts';
import { listen } from '../../../src/sys/net/network.ts';
import { inUri, isAnyAddress, LOOPBACK, parseNetworks } from '../../../src/sys/net/networks.ts';

test('what stands for all addresses, however it is written, and what does not', async () => {
  for (const host of ['0.0.0.0', '::', '::0', '0:0:0:0:0:0:0:0'])
    equal(isAnyAddress(host), true, host);
  for (const host of ['0.0.0.1', '127.0.0.1', '::1', '1::', 'box', '0', '', '.', ':'])
    equal(isAnyAddress(host), false, host);
});

test('loopback is this host alone', async () => {
  const networks = parseNetworks(LOOPBACK);
  for (const address of ['127.0.0.1', '127.9.9.9', '::1'])
    equal(networks.has(address), true, address);
  for (const address of ['128.0.0.1', '10.0.0.1', '::2', 'box', ''])
    equal(networks.has(address), false, address);
});

test('an IPv6 address stands in brackets wherever something follows it', async () => {
  equal(inUri('fd00::5'), '[fd00::5]');
  equal(inUri('box.example.org'), 'box.example.org');
  const at = { host: 'fd00::5', port: 8443, token: 'x', authority: undefined };
  equal(placeName(at), 'https://[fd00::5]:8443');
  const address = '2001:db8::5';
  await rejects(
    listen({ kind: 'tcp', host: address, port: 1 }, () => {}),
    /tcp:\[2001:db8::5\]:1/,
  );
});

test('without IPv6 in the kernel all addresses are those of IPv4, and no other takes their place', async () => {
  const refusal = Object.assign(new Error('no family'), { code: 'EAFNOSUPPORT' });
  const { listen: listenReally } = Server.prototype as { listen: (...args: unknown[]) => Server };
  const { bind: bindReally } = Socket.prototype as { bind: (...args: unknown[]) => Socket };
  const hosts: string[] = [];
  mock.method(Server.prototype, 'listen', function (this: Server, ...args: unknown[]) {
    const { host } = args[0] as { host: string };
    hosts.push(host);
    if (!host.includes(':')) return listenReally.apply(this, args);
    process.nextTick(() => this.emit('error', refusal));
    return this;
  });
  mock.method(Socket.prototype, 'bind', function (this: Socket, ...args: unknown[]) {
    const { address } = args[0] as { address: string };
    hosts.push(address);
    if (!address.includes(':')) return bindReally.apply(this, args);
    process.nextTick(() => this.emit('error', refusal));
    return this;
  });
  try {
    const tcp = await listen({ kind: 'tcp', host: '::', port: 0 }, () => {});
    await tcp[Symbol.asyncDispose]();
    const udp = await answerDatagrams({ host: '::', port: 0 }, () => undefined);
    await udp[Symbol.asyncDispose]();
    const six = listen({ kind: 'tcp', host: 'fd00::5', port: 0 }, () => {});
    await rejects(six, /tcp:\[fd00::5\]:0: this host has no addresses of that kind/);
  } finally {
    mock.restoreAll();
  }
  deepEqual(hosts, ['::', '0.0.0.0', '::', '0.0.0.0', 'fd00::5']);
});
