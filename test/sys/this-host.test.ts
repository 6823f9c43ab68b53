import { deepEqual, equal } from 'node:assert/strict';
import { hostname, type NetworkInterfaceInfo } from 'node:os';
import { test } from 'tap';
import { thisHost } from '../../src/sys/this-host.ts';

function at(address: string, internal = false): NetworkInterfaceInfo {
  const common = { address, internal, netmask: '', mac: '', cidr: null };
  return address.includes(':')
    ? { ...common, family: 'IPv6', scopeid: 0 }
    : { ...common, family: 'IPv4' };
}

test('the addresses at which others reach this machine', async () => {
  const query = () => ({
    lo: [at('127.0.0.1', true), at('::1', true)],
    eth0: [at('192.0.2.7'), at('fe80::1'), at('2001:db8::7')],
  });
  deepEqual(thisHost(query).addresses, ['192.0.2.7', '2001:db8::7']);
});

test('where the kernel does not tell of interfaces there are none, and nothing ends', async () => {
  const { name, addresses } = thisHost(() => {
    throw new Error('uv_interface_addresses returned Unknown system error 97');
  });
  equal(name, hostname());
  deepEqual(addresses, []);
});
