import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { isAnyAddress, LOOPBACK, parseNetworks } from '../../src/sys/networks.ts';

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
