import { deepEqual, equal } from 'node:assert/strict';
import { hostname, type NetworkInterfaceInfo } from 'node:os';
import { test } from 'tap';
import { reachableAt, thisHost } from '../../../src/sys/net/this-host.ts';

function at(address: string, internal = false): NetworkInterfaceInfo {
  const cidr = internal ? null : `${address}/${address.includes(':') ? 64 : 24}`;
  const common = { address, internal, netmask: '', mac: '', cidr };
  return address.includes(':')
    ? { ...common, family: 'IPv6', scopeid: 0 }
    : { ...common, family: 'IPv4' };
}

test('others reach this machine at its own addresses, never at those of the loopback', async () => {
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

// U4
test('clients get the address that the allowed hosts reach', async () => {
  const query = () => ({
    lo: [at('127.0.0.1', true), at('::1', true)],
    eth0: [at('fe80::1'), at('2001:db8::7'), at('192.0.2.7')],
    eth1: [at('10.0.0.5')],
  });
  const allowed = (...allow: string[]) => reachableAt(allow, query);
  equal(allowed('10.0.0.0/24'), '10.0.0.5');
  equal(allowed('10.0.0.99'), '10.0.0.5', 'of the network that it is in');
  equal(allowed('2001:db8::/32'), '2001:db8::7');
  equal(allowed('0.0.0.0/0', '::/0'), '192.0.2.7');
  equal(allowed('198.51.100.0/24'), '192.0.2.7', 'behind a router');
  equal(allowed('127.0.0.0/8', '::1'), '127.0.0.1');
  equal(allowed('::1'), '::1');
  equal(reachableAt(undefined, query), '192.0.2.7');
  equal(
    reachableAt(undefined, () => ({})),
    hostname(),
  );
});
