import { equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { placeName } from '../../src/sys/http-place.ts';
import { listen } from '../../src/sys/network.ts';
import { inUri, isAnyAddress, LOOPBACK, parseNetworks } from '../../src/sys/networks.ts';

test('what stands for all addresses, however it is written, and what does not', async () => {
  for (const host of ['0.0.0.0', '::', '::0', '0:0:0:0:0:0:0:0'])
    equal(isAnyAddress(host), true, host);
  for (const host of ['0.0.0.1', '127.0.0.1', '::1', '1::', 'box', '0', '', '.', ':'])
    equal(isAnyAddress(host), false, host);
});

test('loopback is this host and nobody else', async () => {
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
