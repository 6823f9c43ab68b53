import { deepEqual, equal, match, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { NETWORK_PLACES, networkFiles } from '../../src/host/network-files.ts';
import { networkdFiles } from '../../src/host/networkd-files.ts';
import {
  type PlannedInterface,
  withInterface,
  withoutInterface,
} from '../../src/host/network-plan.ts';
import { openNetwork } from '../../src/host/network.ts';
import type { RunProgram } from '../../src/host/programs.ts';
import type { FileSystem } from '../../src/sys/file-system.ts';
import { putDurably } from '../../src/sys/put-durably.ts';
import { crashingFs, onlyPowerCuts } from '../support/crashing-fs.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { seeded } from '../support/random.ts';

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

test('a plan that could lock somebody out by a slip is refused, and says why', async () => {
  const cases: readonly (readonly [PlannedInterface, RegExp])[] = [
    [{ ...WIRED, name: 'eth7' }, /eth7 is not there: this machine has eth0, eth1/],
    [{ ...WIRED, name: 'wlan0' }, /wlan0 is no wired interface/],
    [fixed('10.0.0.255/24'), /broadcast address/],
    [fixed('127.0.0.1/8'), /no address of a machine/],
    [fixed('10.0.0.5/33'), /no address with its prefix length/],
    [fixed('10.0.0.5/24\nGateway=1.1.1.1'), /no address with its prefix length/],
    [fixed('10.0.0.5/24', { gateways: ['10.0.0.5'] }), /address of this machine/],
    [fixed('10.0.0.5/24', { gateways: ['10.0.0.1', '10.0.0.2'] }), /one gateway for IPv4/],
    [fixed('10.0.0.5/24', { dhcp: true, gateways: ['10.0.0.1'] }), /comes from there/],
    [fixed('10.0.0.5/24', { domains: ['a b'] }), /no domain/],
    [bond('eth0', 'wlan0'), /wlan0 is no wired interface/],
    [bond('eth0', 'eth0'), /named twice/],
    [{ ...WIRED, name: 'v', kind: { kind: 'vlan', on: 'eth1', id: 5 } }, /set up eth1 first/],
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

/** A machine with one wire that networkd sets up; what was asked of systemd is in `asked`. */
function machine(files: FileSystem) {
  const asked: string[] = [];
  const run: RunProgram = async (name, args) => {
    const line = [name, ...args].join(' ');
    asked.push(line);
    const code = line.includes('is-active') && line.includes('NetworkManager') ? 3 : 0;
    const stdout = line.includes('address show')
      ? JSON.stringify([{ ifname: 'eth0', link_type: 'ether', flags: ['UP'], mtu: 1500 }])
      : line.includes('networkctl --json')
        ? '{"Interfaces":[{"Name":"eth0","AdministrativeState":"configured"}]}'
        : line.includes('LoadState')
          ? 'loaded\n'
          : '';
    return { code, stdout, stderr: '' };
  };
  const clock = fakeClock('2026-11-21T12:00:00Z');
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
