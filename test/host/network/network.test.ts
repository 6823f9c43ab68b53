import { deepEqual, equal, match, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { NETWORK_PLACES, networkFiles } from '../../../src/host/network/network-files.ts';
import { networkdFiles } from '../../../src/host/network/networkd-files.ts';
import {
  type PlannedInterface,
  withInterface,
  withoutInterface,
} from '../../../src/host/network/network-plan.ts';
import { openNetwork } from '../../../src/host/network/network.ts';
import type { RunProgram } from '../../../src/host/base/programs.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { seeded } from '../../support/random.ts';

const BARE = { dhcp: false, addresses: [], gateways: [], dns: [], domains: [] } as const;
const WIRED: PlannedInterface = { name: 'eth0', kind: { kind: 'wired' }, ...BARE };
const LINKS = [
  { name: 'eth0', kind: 'wired' },
  { name: 'eth1', kind: 'wired' },
  { name: 'wlan0', kind: 'other' },
] as const;
const NONE = { interfaces: [] };
const fixed = (address: string, more: Partial<PlannedInterface> = {}): PlannedInterface => ({
  ...WIRED,
  addresses: [address],
  ...more,
});
const bond = (...members: string[]): PlannedInterface => ({
  ...fixed('10.0.0.5/24'),
  name: 'bond0',
  kind: { kind: 'bond', mode: '802.3ad', members },
});

test('a plan that could lock the administrator out by a slip is refused, and says why', async () => {
  const cases: readonly (readonly [PlannedInterface, RegExp])[] = [
    [{ ...WIRED, name: 'eth7' }, /eth7 does not exist: this host has eth0, eth1/],
    [{ ...WIRED, name: 'wlan0' }, /wlan0 is not a wired interface/],
    [fixed('10.0.0.255/24'), /broadcast address/],
    [fixed('127.0.0.1/8'), /not the address of a host/],
    [fixed('10.0.0.5/33'), /not an address with its prefix length/],
    [fixed('10.0.0.5/24\nGateway=1.1.1.1'), /not an address with its prefix length/],
    [fixed('fe80::1%eth0/64'), /not an address with its prefix length/],
    [fixed('fd00::5/64', { gateways: ['fe80::1%eth0'] }), /not a gateway.s address/],
    [fixed('10.0.0.5/24', { gateways: ['10.0.0.5'] }), /address of this host/],
    [fixed('10.0.0.5/24', { gateways: ['10.0.0.1', '10.0.0.2'] }), /one gateway for IPv4/],
    [fixed('10.0.0.5/24', { dhcp: true, gateways: ['10.0.0.1'] }), /the server gives the gateway/],
    [fixed('10.0.0.5/24', { domains: ['a b'] }), /not a domain/],
    [bond('eth0', 'wlan0'), /wlan0 is not a wired interface/],
    [bond('eth0', 'eth0'), /named twice/],
    [{ ...WIRED, name: 'v', kind: { kind: 'vlan', on: 'eth1', id: 5 } }, /configure eth1 first/],
  ];
  for (const [wanted, why] of cases) throws(() => withInterface(NONE, wanted, LINKS), why);
  // RFC 3021, and a gateway that is known by its wire only.
  withInterface(NONE, fixed('10.0.0.0/31', { gateways: ['10.0.0.1'] }), LINKS);
  withInterface(NONE, fixed('fd00::5/64', { gateways: ['fe80::1'] }), LINKS);
});

test('what an interface is part of goes before it', async () => {
  const two = withInterface(withInterface(NONE, WIRED, LINKS), { ...WIRED, name: 'eth1' }, LINKS);
  const bonded = withInterface(two, bond('eth0', 'eth1'), LINKS);
  deepEqual(
    bonded.interfaces.map(({ name }) => name),
    ['bond0'],
  );
  throws(() => withInterface(bonded, WIRED, LINKS), /eth0 is part of bond0/);
  const vlan: PlannedInterface = {
    ...WIRED,
    name: 'lan7',
    kind: { kind: 'vlan', on: 'bond0', id: 7 },
  };
  const all = withInterface(bonded, vlan, LINKS);
  throws(() => withoutInterface(all, 'bond0'), /lan7 is a VLAN on bond0/);
  throws(() => withInterface(all, { ...vlan, name: 'lan8' }, LINKS), /is lan7 already/);
  const files = networkdFiles(all);
  deepEqual(
    [...files.keys()].map((name) => name.replace('10-holdfast-', '')),
    [
      'bond0.netdev',
      'bond0.network',
      'eth0.network',
      'eth1.network',
      'lan7.netdev',
      'lan7.network',
    ],
  );
  match(
    files.get('10-holdfast-eth1.network')!,
    /\[Match\]\nName=eth1\n\n\[Network\]\nBond=bond0\n/,
  );
  match(files.get('10-holdfast-bond0.network')!, /Address=10\.0\.0\.5\/24\n(.*\n)*VLAN=lan7\n/);
  match(files.get('10-holdfast-bond0.netdev')!, /Kind=bond\n\n\[Bond\]\nMode=802\.3ad\n/);
  match(files.get('10-holdfast-lan7.netdev')!, /Kind=vlan\n\n\[VLAN\]\nId=7\n/);
});

const ETH0: FakeLink = { ifname: 'eth0', link_type: 'ether', flags: ['UP'], mtu: 1500 };

/** As `ip -json` says it. */
interface FakeLink {
  readonly ifname: string;
  readonly link_type: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly linkinfo?: { readonly info_kind: string };
  readonly addr_info?: readonly { readonly local: string }[] | undefined;
}

/** By default a machine with one wire that networkd sets up; requests to systemd are in `asked`. */
function machine(
  files: FileSystem,
  {
    links = [ETH0],
    routes = [],
    state = 'configured',
  }: {
    readonly links?: readonly FakeLink[];
    readonly routes?: readonly object[];
    readonly state?: 'configured' | 'unmanaged';
  } = {},
) {
  const asked: string[] = [];
  let shown = links;
  const run: RunProgram = async (name, args) => {
    const line = [name, ...args].join(' ');
    asked.push(line);
    const [, gone, on] = /^ip address delete (\S+)\/24 dev (\S+)$/.exec(line) ?? [];
    shown = shown.map((it) => {
      if (gone === undefined || it.ifname !== on) return it;
      return { ...it, addr_info: it.addr_info?.filter(({ local }) => local !== gone) };
    });
    const code = line.includes('is-active') && line.includes('NetworkManager') ? 3 : 0;
    const stdout = line.includes('address show')
      ? JSON.stringify(shown)
      : line === 'ip -json route show'
        ? JSON.stringify(routes)
        : line.includes('networkctl --json')
          ? JSON.stringify({ Interfaces: [{ Name: 'eth0', AdministrativeState: state }] })
          : line.includes('LoadState')
            ? 'loaded\n'
            : '';
    return { code, stdout, stderr: '' };
  };
  // The change does not wait for what the kernel does in a moment.
  const clock = { ...fakeClock('2026-11-21T12:00:00Z'), sleep: async () => {} };
  const network = openNetwork({ files, clock, run, places: NETWORK_PLACES });
  return { network, asked };
}

async function prepared() {
  const disk = crashingFs(seeded(0));
  const { units, plan, pending } = NETWORK_PLACES;
  for (const path of [units, plan, pending]) {
    const parts = path.split('/').slice(1, path === units ? undefined : -1);
    for (let at = 1; at <= parts.length; at++) {
      await disk.files.makeDirectory(`/${parts.slice(0, at).join('/')}`);
      await disk.files.syncDirectory(`/${parts.slice(0, at - 1).join('/')}`);
    }
  }
  await putDurably(disk.files, `${units}/50-others.network`, Buffer.from('[Match]\n'));
  return disk;
}

const stateOn = async (files: FileSystem) => networkFiles(files, NETWORK_PLACES).state();

test('a power cut at any moment of a change leaves, once the machine has started, the old network', async () => {
  const before = await prepared();
  const first = machine(before.files).network;
  await first.change(fixed('10.0.0.5/24'), 60);
  await first.confirm();
  const old = await stateOn(before.files);
  const whole = before.copy(seeded(0));
  await machine(whole.files).network.change(fixed('10.0.0.6/24'), 60);
  for (let cutAt = 0; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= 10; seed++) {
      const disk = before.copy(seeded(seed), cutAt);
      await machine(disk.files).network.change(fixed('10.0.0.6/24'), 60).catch(onlyPowerCuts);
      const after = disk.reboot();
      await machine(after.files).network.revertFiles();
      deepEqual(await stateOn(after.files), old, `cutAt=${cutAt} seed=${seed}`);
      equal((await machine(after.files).network.show()).pending, null);
    }
  }
});

test('a power cut while it is confirmed or rolled back leaves one of the two, whole', async () => {
  const before = await prepared();
  const { network } = machine(before.files);
  await network.change(fixed('10.0.0.5/24'), 60);
  await network.confirm();
  const old = await stateOn(before.files);
  await network.change({ ...WIRED, dhcp: true }, 60);
  const next = await stateOn(before.files);
  for (const how of ['confirm', 'revert'] as const) {
    const whole = before.copy(seeded(0));
    await machine(whole.files).network[how]();
    for (let cutAt = 0; cutAt <= whole.calls(); cutAt++) {
      for (let seed = 1; seed <= 10; seed++) {
        const disk = before.copy(seeded(seed), cutAt);
        let isDone = true;
        await machine(disk.files)
          .network[how]()
          .catch((cause: unknown) => {
            isDone = false;
            onlyPowerCuts(cause);
          });
        const after = disk.reboot();
        await machine(after.files).network.revertFiles();
        const found = JSON.stringify(await stateOn(after.files));
        const where = `${how} cutAt=${cutAt} seed=${seed}`;
        if (how === 'confirm' && isDone) equal(found, JSON.stringify(next), where);
        else if (how === 'revert') equal(found, JSON.stringify(old), where);
        else
          equal(
            [old, next].some((it) => JSON.stringify(it) === found),
            true,
            where,
          );
      }
    }
  }
});

test('who rolls back is there before anything is changed, and goes when it is confirmed', async () => {
  const disk = await prepared();
  const { network, asked } = machine(disk.files);
  await network.change(fixed('10.0.0.5/24'), 90);
  const timer = asked.findIndex((it) => /^systemd-run .*--on-active=90 .*network-revert/.test(it));
  equal(timer >= 0 && timer < asked.indexOf('networkctl reload'), true, asked.join('\n'));
  await rejects(network.change(WIRED, 60), { code: 'PENDING' });
  await network.confirm();
  match(asked.at(-1)!, /systemctl stop .*network-revert\.timer/);
  await rejects(network.confirm(), { code: 'NOT_FOUND' });
  await rejects(network.revert(), { code: 'NOT_FOUND' });
});

const vlan = (id: number): PlannedInterface => ({
  ...fixed(`10.1.${id}.5/24`),
  name: `lan${id}`,
  kind: { kind: 'vlan', on: 'eth0', id },
});
const vlanLink = (id: number) => ({
  ...{ ...ETH0, ifname: `lan${id}`, linkinfo: { info_kind: 'vlan' } },
});
const range = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

test('what could not be read again, and so not be rolled back, is refused before anything is changed', async () => {
  const { files } = await prepared();
  const own = networkFiles(files, NETWORK_PLACES);
  const links = [ETH0, ...range(64).map(vlanLink)];
  const { network, asked } = machine(files, { links });
  await own.put(own.stateOf({ interfaces: [WIRED, ...range(62).map(vlan)] }));
  await network.change(vlan(63), 60);
  await network.confirm();
  const old = await own.state();
  const before = asked.length;
  await rejects(network.change(vlan(64), 60), {
    code: 'REFUSED',
    message: /64 interfaces already/,
  });
  deepEqual(await own.state(), old);
  equal((await network.show()).pending, null);
  // Each of the existing ones can be changed, and reverted.
  await network.change({ ...vlan(63), dhcp: true }, 60);
  await network.revert();
  deepEqual(await own.state(), old);
  deepEqual(asked.slice(before).filter((it) => it.startsWith('systemd-run')).length, 1);
  throws(() => own.stateOf({ interfaces: range(65).map(vlan) }), {
    ...{ code: 'REFUSED', message: /interfaces: a list of 0 to 64, not 65\. Nothing was changed/ },
  });
});

test('routes that were set by hand are put back, or there are too many to begin', async () => {
  for (const [count, isTaken] of [
    [256, true],
    [300, false],
  ] as const) {
    const { files } = await prepared();
    const route = (at: number) => ({ dst: `10.${at}.0.0/16`, gateway: '10.0.0.1', dev: 'eth0' });
    const routes = range(count).map(route);
    const { network, asked } = machine(files, { routes, state: 'unmanaged' });
    const changed = network.change(fixed('10.0.0.5/24'), 60);
    if (isTaken) {
      await changed;
      await network.revert();
    } else {
      const message = /could not be restored: byHand\.0\.routes: .* 256, not 300/;
      await rejects(changed, { code: 'REFUSED', message });
      equal(
        asked.some((it) => it.startsWith('systemd-run')),
        false,
      );
    }
    deepEqual(await stateOn(files), []);
    equal((await network.show()).pending, null);
    const added = asked.filter((it) => it.startsWith('ip route add'));
    equal(added.length, isTaken ? count : 0);
  }
});

test('a damaged plan prevents neither the revert nor an emergency reset', async () => {
  const { files } = await prepared();
  const { network } = machine(files);
  await network.change(fixed('10.0.0.5/24'), 60);
  await network.confirm();
  const old = await stateOn(files);
  for (const damage of ['{"interfaces": [7]}', 'x'.repeat(2 ** 20 + 1)]) {
    await network.change(fixed('10.0.0.6/24'), 60);
    await putDurably(files, NETWORK_PLACES.plan, Buffer.from(damage));
    await network.revert();
    deepEqual(await stateOn(files), old);
    await putDurably(files, NETWORK_PLACES.plan, Buffer.from(damage));
    deepEqual(await network.reset(), { interfaces: ['eth0'] });
    await network.change(fixed('10.0.0.5/24'), 60);
    await network.confirm();
  }
});

test('an emergency asks for addresses where cables are, not in the wires to containers', async () => {
  const veth = (at: number) => ({
    ...{ ...ETH0, ifname: `veth${at}`, linkinfo: { info_kind: 'veth' } },
  });
  const odd = { ...ETH0, ifname: 'en*' };
  const { files } = await prepared();
  const cards = machine(files, { links: [...range(100).map(veth), odd, ETH0] }).network;
  deepEqual(await cards.reset(), { interfaces: ['eth0'] });
  const { interfaces } = await machine(files, { links: range(100).map(veth) }).network.reset();
  equal(interfaces.length, 64);
});

const withAddresses = (name: string, ...addresses: string[]) => ({
  ...{ ...ETH0, ifname: name, flags: ['UP', 'LOWER_UP'] },
  addr_info: addresses.map((local) => ({ local, prefixlen: 24, scope: 'global', family: 'inet' })),
});

test('a change takes nothing from interfaces that it is not about', async () => {
  const { files } = await prepared();
  const own = networkFiles(files, NETWORK_PLACES);
  const links = [
    withAddresses('eth0', '10.0.0.5', '10.0.0.6', '10.0.0.99'),
    withAddresses('eth1', '10.0.1.5', '10.0.1.99'),
  ];
  const { network, asked } = machine(files, { links });
  const other = { ...fixed('10.0.1.5/24'), name: 'eth1' };
  await own.put(own.stateOf({ interfaces: [fixed('10.0.0.5/24'), other] }));
  await network.change(fixed('10.0.0.6/24'), 60);
  const deleted = () => asked.filter((it) => it.startsWith('ip address delete'));
  equal(deleted().includes('ip address delete 10.0.0.99/24 dev eth0'), true);
  deepEqual(
    deleted().filter((it) => it.endsWith('eth1')),
    [],
  );
  equal(asked.includes('networkctl reconfigure eth0'), true);
});

test('a rollback that was interrupted once the files were back is done again as a whole', async () => {
  const { files } = await prepared();
  const own = networkFiles(files, NETWORK_PLACES);
  const links = [withAddresses('eth0', '10.0.0.5', '10.0.0.6')];
  const { network, asked } = machine(files, { links });
  await own.put(own.stateOf({ interfaces: [fixed('10.0.0.5/24')] }));
  await network.change(fixed('10.0.0.6/24'), 60);
  await own.put((await own.pending())!.before);
  const before = asked.length;
  await network.revert();
  const again = asked.slice(before);
  equal(again.includes('networkctl reconfigure eth0'), true);
  equal(again.includes('ip address delete 10.0.0.6/24 dev eth0'), true);
});
