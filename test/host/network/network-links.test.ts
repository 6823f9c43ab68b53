import { deepEqual, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { RunProgram } from '../../../src/host/base/programs.ts';
import {
  readLinks,
  readManaged,
  readRoutes,
  readSockets,
} from '../../../src/host/network/network-links.ts';

/** Programs that print what they are given by their first words. */
function printing(printed: Readonly<Record<string, unknown>>): RunProgram {
  return async (name, args) => {
    const said = printed[[name, ...args].join(' ')];
    const stdout = said === undefined ? '' : JSON.stringify(said);
    return { code: 0, stdout, stderr: '' };
  };
}

const ADDRESSES = 'ip -json -details address show';
const card = (ifname: string, more: object = {}) => ({
  ...{ ifname, link_type: 'ether', address: '02:00:00:00:00:01', mtu: 1500, flags: ['UP'] },
  ...more,
});
const made = (ifname: string, info_kind: string, more: object = {}) =>
  card(ifname, { linkinfo: { info_kind }, ...more });

test('each interface is of its kind, and its addresses say where they come from', async () => {
  const run = printing({
    [ADDRESSES]: [
      { ifname: 'lo', link_type: 'loopback', flags: ['UP', 'LOWER_UP'] },
      card('eth0', {
        flags: ['UP', 'LOWER_UP'],
        master: 'bond0',
        addr_info: [
          { family: 'inet', local: '10.0.0.5', prefixlen: 24, scope: 'global' },
          { family: 'inet', local: '10.0.1.5', prefixlen: 24, scope: 'global', dynamic: true },
          { family: 'inet6', local: 'fd00::5', prefixlen: 64, scope: 'global', dynamic: true },
          { family: 'inet6', local: 'fe80::5', prefixlen: 64, scope: 'link' },
          { family: 'inet' },
        ],
      }),
      made('v0', 'veth'),
      made('bond0', 'bond'),
      made('eth0.7', 'vlan'),
      made('br0', 'bridge'),
      { ifname: 'wg0', link_type: 'none' },
    ],
  });
  const links = await readLinks(run);
  deepEqual(
    links.map(({ name, kind }) => `${name} ${kind}`),
    [
      ...['lo loopback', 'eth0 wired', 'v0 wired', 'bond0 bond', 'eth0.7 vlan', 'br0 other'],
      'wg0 other',
    ],
  );
  const { mac, mtu, up, carrier, partOf, addresses } = links[1]!;
  deepEqual([mac, mtu, up, carrier, partOf], ['02:00:00:00:00:01', 1500, true, true, 'bond0']);
  deepEqual(
    addresses.map(({ address, from }) => `${address} ${from}`),
    ['10.0.0.5/24 fixed', '10.0.1.5/24 dhcp', 'fd00::5/64 router', 'fe80::5/64 link'],
  );
  deepEqual([links[6]!.mac, links[6]!.up, links[6]!.partOf], [null, false, null]);
});

test('a cable goes into a card; the wire of a container counts where there is nothing else', async () => {
  const wire = made('eth1', 'veth');
  deepEqual(await readSockets(printing({ [ADDRESSES]: [card('eth0'), wire] })), ['eth0']);
  deepEqual(await readSockets(printing({ [ADDRESSES]: [wire] })), ['eth1']);
});

test('routes are those of both families, without those that come with an address', async () => {
  const run = printing({
    'ip -json route show': [
      { dst: 'default', gateway: '10.0.0.1', dev: 'eth0', protocol: 'static' },
      { dst: '10.0.0.0/24', dev: 'eth0', protocol: 'kernel' },
      { dst: '10.9.0.0/16', dev: 'eth1' },
      { dst: '10.8.0.0/16' },
    ],
    'ip -json -6 route show': [{ dst: 'default', gateway: 'fe80::1', dev: 'eth0' }],
  });
  deepEqual(await readRoutes(run), [
    { to: 'default', via: '10.0.0.1', on: 'eth0' },
    { to: '10.9.0.0/16', via: null, on: 'eth1' },
    { to: 'default', via: 'fe80::1', on: 'eth0' },
  ]);
});

test('nothing at all is no interfaces; something else than a list is a failure', async () => {
  deepEqual(await readLinks(printing({})), []);
  await rejects(readLinks(printing({ [ADDRESSES]: { eth0: {} } })), { code: 'FAILED' });
});

test('what networkd does not speak of is unmanaged', async () => {
  const Interfaces = [{ Name: 'eth0', AdministrativeState: 'configured' }, { Name: 'eth1' }];
  const run = printing({ 'networkctl --json=short list': { Interfaces } });
  deepEqual(
    [...(await readManaged(run))],
    [
      ['eth0', 'configured'],
      ['eth1', 'unmanaged'],
    ],
  );
});
