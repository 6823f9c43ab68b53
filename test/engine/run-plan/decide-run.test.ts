import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { decideRun } from '../../../src/engine/run-plan/plan-run.ts';
import type { RunFacts } from '../../../src/engine/run-plan/run-facts.ts';
import type { RunWish } from '../../../src/engine/run-plan/run-wish.ts';
import type {
  DescribedNic,
  MachineDescription,
} from '../../../src/formats/store/catalog/machine.ts';
import { decodeSession, encodeSession } from '../../../src/formats/store/sessions/session.ts';
import { placedRecord } from '../../support/placed-session.ts';

const OLD = '0b2ff0e5-3a3c-4c5e-9d6d-000000000001';
const OTHER = '0b2ff0e5-3a3c-4c5e-9d6d-000000000002';
const NEW = '0b2ff0e5-3a3c-4c5e-9d6d-00000000000f';

function nic(last: string, kind: string, name: string): DescribedNic {
  const mac = `52:54:00:00:00:${last}`;
  return { mac, model: 'virtio', network: { kind, name }, connected: true };
}

const MACHINE: MachineDescription = {
  from: { kind: 'libvirt', hypervisor: 'kvm1', product: 'QEMU', id: OLD, name: 'web1' },
  ...{ arch: 'x86_64', firmware: { kind: 'bios' }, cpu: { count: 1 }, memory: { bytes: 2 ** 28 } },
  ...{ ids: { uuid: OLD }, clock: 'utc', boot: ['disk:vda'], autostart: true },
  disks: [
    { name: 'vda', bus: 'virtio', sectorBytes: 512, source: '/pools/slow/web1.qcow2' },
    { name: 'vdb', bus: 'virtio', sectorBytes: 512, source: '/pools/slow/fast/web1-b.qcow2' },
  ],
  nics: [nic('01', 'network', 'lan'), nic('02', 'bridge', 'br0')],
  guest: { agent: true },
  native: { format: 'libvirt-xml', file: 'definition' },
};

const FACTS: RunFacts = {
  ...{ machine: MACHINE, disks: ['vda', 'vdb'], hypervisor: 'kvm1', machines: [], taken: [] },
  newUuid: NEW,
  places: {
    networks: ['lan', 'dmz'],
    pools: [
      { name: 'slow', free: 2 ** 40, size: 2 ** 40, directory: '/pools/slow' },
      { name: 'tapes', free: 2 ** 40, size: 2 ** 40 },
    ],
  },
};

const WISH: RunWish = {
  ...{ name: undefined, pool: undefined, networks: {}, isIsolated: false, powerOn: true },
  writes: 'here',
  ...{ migrate: 'later', migrateAfter: undefined, replace: undefined },
};

function decided(wish: Partial<RunWish>, facts: Partial<RunFacts> = {}) {
  const { placement, unknown, findings } = decideRun({ ...FACTS, ...facts }, { ...WISH, ...wish });
  // What is decided can be journaled, and is read as it was.
  const record = { ...placedRecord('preparing'), placement };
  deepEqual(decodeSession(encodeSession(record)), record);
  const words = findings.map(({ level, code }) => `${level} ${code}`);
  return { ...placement, unknown, findings, words };
}

test('on a host where the original is gone, nothing stands in the way, and it is what it was', async () => {
  const { plan, pool, words } = decided({});
  deepEqual(words, []);
  deepEqual(plan, {
    ...{ name: 'web1', uuid: OLD, autostart: true, powerOn: true },
    networks: { '52:54:00:00:00:01': 'lan', '52:54:00:00:00:02': 'bridge:br0' },
    ...{ replaces: undefined, moves: { kind: 'asked' }, writes: 'here' },
  });
  equal(pool, 'slow');
});

const HOLDS = [
  { id: OLD, name: 'web1', power: 'off' },
  { id: OTHER, name: 'db1', power: 'on' },
] as const;

test('beside the original it needs a name of its own, and gets a UUID of its own', async () => {
  const { plan, words, findings } = decided({}, { machines: HOLDS });
  deepEqual(words, ['blocker name', 'note machine-id']);
  match(findings[0]!.remedy!, /--name web1-2.*--replace keep/);
  equal(plan.uuid, NEW);
  const beside = decided({ name: 'web1-2' }, { machines: HOLDS });
  deepEqual([beside.plan.name, beside.plan.uuid], ['web1-2', NEW]);
  deepEqual(beside.words, ['note machine-id']);
});

test('in place of the original it has its name; that keeps its UUID', async () => {
  const { plan, words } = decided({ replace: 'delete' }, { machines: HOLDS });
  deepEqual(plan.replaces, { machine: OLD, afterwards: 'delete' });
  deepEqual([plan.name, plan.uuid], ['web1', NEW]);
  deepEqual(words, ['note machine-id']);
});

test('the original is replaced by its UUID, whatever its name is by now', async () => {
  const renamed = [
    { ...HOLDS[0], name: 'web1-old' },
    { ...HOLDS[1], name: 'web1' },
  ] as const;
  const { plan, words } = decided({ replace: 'keep' }, { machines: renamed });
  equal(plan.replaces?.machine, OLD);
  // The name belongs to another machine, which is left alone.
  deepEqual(words, ['blocker name', 'note machine-id']);
});

test('a machine that only has the name is renamed with a warning, and never deleted', async () => {
  const machines = [{ ...HOLDS[1], name: 'web1', power: 'off' }] as const;
  const kept = decided({ replace: 'keep' }, { machines });
  deepEqual(kept.words, ['warning source-machine']);
  deepEqual(kept.plan.uuid, OLD);
  deepEqual(decided({ replace: 'delete' }, { machines }).words, ['blocker source-machine']);
});

test('what runs is not replaced, nor is the machine of another session', async () => {
  const machines = [{ ...HOLDS[0], power: 'on' }] as const;
  const running = decided({ replace: 'keep' }, { machines });
  deepEqual(running.words, ['blocker source-machine', 'note machine-id']);
  const taken = [{ session: 'web1-aabbcc', name: 'web1', uuid: OLD }];
  const own = decided({ replace: 'keep', name: 'new' }, { machines: [HOLDS[0]], taken });
  deepEqual(own.words, ['blocker source-machine', 'note machine-id']);
  match(own.findings[0]!.remedy!, /session discard web1-aabbcc/);
});

test('a name or UUID that another session is about to take is not free', async () => {
  const taken = [{ session: 'web1-aabbcc', name: 'web1', uuid: OLD }];
  const { plan, words } = decided({}, { taken });
  deepEqual(words, ['blocker name', 'note machine-id']);
  equal(plan.uuid, NEW);
});

test('nothing that is to be replaced is a note', async () => {
  const { plan, words } = decided({ replace: 'keep' });
  deepEqual(words, ['note source-machine']);
  deepEqual([plan.replaces, plan.uuid], [undefined, OLD]);
});

test('each card whose network the host lacks is found, with the networks that it has', async () => {
  const places = { ...FACTS.places, networks: ['dmz'] };
  const elsewhere = { ...MACHINE, from: { ...MACHINE.from, hypervisor: 'kvm0' } };
  const { plan, words, findings } = decided({}, { places, machine: elsewhere });
  deepEqual(words, ['blocker network', 'blocker network']);
  deepEqual(plan.networks, {});
  match(
    findings[0]!.remedy!,
    /--network lan=NEW, where NEW is dmz, bridge:NAME .*lan=none to leave/,
  );
  // No hypervisor lists its bridges: a person may say that one is there.
  const said = decided({ networks: { br0: 'bridge:br1' } }, { machine: elsewhere });
  deepEqual(said.plan.networks['52:54:00:00:00:02'], 'bridge:br1');
});

test('networks are chosen by name, by kind and name, or by the address of a card', async () => {
  for (const old of ['br0', 'bridge:br0', '52:54:00:00:00:02']) {
    const { plan, words } = decided({ networks: { lan: 'dmz', [old]: null } });
    deepEqual([plan.networks, words], [{ '52:54:00:00:00:01': 'dmz' }, []]);
  }
  const { words, plan, unknown } = decided({ networks: { typo: 'dmz', lan: 'no such' } });
  deepEqual([words, unknown], [['blocker network'], ['typo']]);
  deepEqual(plan.networks, { '52:54:00:00:00:02': 'bridge:br0' });
});

test('an isolated machine has no network, also on a host that has none', async () => {
  const places = { ...FACTS.places, networks: [] };
  const { plan, words } = decided({ isIsolated: true }, { places });
  deepEqual([plan.networks, words], [{}, []]);
});

test('it moves to the pool where its disks were: the innermost one', async () => {
  const fast = { name: 'fast', free: 1, size: 1, directory: '/pools/slow/fast' };
  const places = { ...FACTS.places, pools: [...FACTS.places.pools, fast] };
  const [vda, vdb] = MACHINE.disks;
  equal(decided({}, { places, machine: { ...MACHINE, disks: [vdb!] } }).pool, 'fast');
  equal(decided({}, { places, machine: { ...MACHINE, disks: [vda!] } }).pool, 'slow');
  // Disks of two pools: a person chooses.
  const both = decided({}, { places });
  deepEqual([both.pool, both.words], [undefined, ['warning target-space']]);
  const volume = { ...vda!, source: 'tapes/web1' };
  equal(decided({}, { machine: { ...MACHINE, disks: [volume] } }).pool, 'tapes');
});

test('a machine that moves by itself needs a pool to move to', async () => {
  const machine = { ...MACHINE, disks: MACHINE.disks.map((it) => ({ ...it, source: '/else' })) };
  const auto = decided({ migrate: 'auto' }, { machine });
  deepEqual(auto.words, ['blocker target-space']);
  match(auto.findings[0]!.remedy!, /slow, tapes: --pool/);
  deepEqual(decided({ migrate: 'none' }, { machine }).words, []);
  const only = { ...FACTS.places, pools: FACTS.places.pools.slice(0, 1) };
  equal(decided({ migrate: 'auto' }, { machine, places: only }).pool, 'slow');
  const unknown = decided({ pool: 'no such' });
  deepEqual([unknown.pool, unknown.words], [undefined, ['blocker target-space']]);
});

test('when it moves follows from the options, and contradictions are found', async () => {
  const moves = (wish: Partial<RunWish>) => decided(wish).plan.moves;
  deepEqual(moves({ migrate: 'auto' }), { kind: 'now' });
  deepEqual(moves({ migrate: 'auto', migrateAfter: 60 }), { kind: 'after', seconds: 60 });
  deepEqual(moves({ migrate: 'heartbeat' }), { kind: 'heartbeat' });
  deepEqual(moves({ migrate: 'none' }), { kind: 'asked' });
  deepEqual(decided({ migrate: 'later', migrateAfter: 60 }).words, ['blocker move']);
  deepEqual(decided({ migrate: 'none', pool: 'slow' }).words, ['blocker move']);
  deepEqual(decided({ migrate: 'auto', powerOn: false }).words, ['note move']);
  const machine = { ...MACHINE, guest: undefined };
  deepEqual(decided({ migrate: 'heartbeat' }, { machine }).words, ['warning agent']);
});

test('where its guest writes to the hypervisor, a pool is needed from the beginning', async () => {
  const there = decided({ writes: 'there' });
  deepEqual([there.pool, there.plan.writes, there.words], ['slow', 'there', ['note move']]);
  match(there.findings[0]!.message, /kept in the pool "slow" of kvm1, and not here/);
  const never = decided({ writes: 'there', migrate: 'none', pool: 'tapes' });
  deepEqual([never.pool, never.words], ['tapes', ['note move']]);
  const machine = { ...MACHINE, disks: MACHINE.disks.map((it) => ({ ...it, source: '/else' })) };
  for (const migrate of ['none', 'later', 'auto'] as const) {
    const none = decided({ writes: 'there', migrate }, { machine });
    deepEqual([none.pool, none.words], [undefined, ['blocker target-space']]);
  }
});

test('several findings are all there, each with what to do', async () => {
  const places = { pools: [], networks: [] };
  const machines = [{ ...HOLDS[0], power: 'on' }] as const;
  const { findings, words } = decided({ migrate: 'auto' }, { places, machines });
  deepEqual(
    words.filter((it) => it.startsWith('blocker')),
    ['blocker name', 'blocker network', 'blocker target-space'],
  );
  for (const { level, message, remedy } of findings) {
    ok(message.length > 0 && (level === 'note' || remedy.length > 0));
  }
});
