import type { MadeMachine, TestHost, TestMachine } from '../../hypervisors/rig.ts';
import { fakeGuest } from '../fake-guest.ts';
import { connectFake } from './client.ts';
import { addDisk, beginJob, endJob, type FakeHost, type FakeMachine, fakeHost } from './host.ts';

/** A fake host, for tests of all that uses a hypervisor, and as the conformance suite sees it. */
export interface FakeHypervisor extends TestHost {
  readonly host: FakeHost;
}

export function fakeHypervisor(): FakeHypervisor {
  const host = fakeHost();
  let made = 0;
  return {
    host,
    connect: ({ owner = 'store1', onCall } = {}) =>
      connectFake(host, { name: 'fake1', owner, onCall }),
    async machine(wanted) {
      const machine = madeMachine(`uuid-${++made}`, wanted);
      host.machines.set(machine.id, machine);
      return testMachine(host, machine);
    },
    setUp: async (isUp) => void (host.isUp = isUp),
    changeCredentials: async () => void (host.credentials += '!'),
    changeIdentity: async () => void (host.identity += '!'),
    async [Symbol.asyncDispose]() {},
  };
}

function madeMachine(
  id: string,
  { name, disks, excluded, hasAgent = true, isOff = false }: MadeMachine,
) {
  const machine: FakeMachine = {
    ...{ id, name, power: isOff ? 'off' : 'on', hasAgent, frozenBy: undefined },
    ...{ disks: new Map(), files: new Map(), tokens: new Map(), internalSnapshots: [] },
    ...{
      session: undefined,
      aside: undefined,
      hasIoError: false,
      isFull: false,
      isPulled: false,
      autostart: false,
    },
    ...{ job: undefined, guest: fakeGuest() },
  };
  machine.files.set('definition', Buffer.from(`<domain id="${id}"/>`));
  machine.files.set('nvram', Buffer.from('variables'));
  for (const [disk, size] of Object.entries(disks)) addDisk(machine, { name: disk, size });
  for (const disk of excluded ?? []) {
    const detail = 'it is a CD drive';
    addDisk(machine, { name: disk, size: 0, excluded: { reason: 'removable', detail } });
  }
  return machine;
}

function testMachine(host: FakeHost, machine: FakeMachine): TestMachine {
  const { id, disks, tokens } = machine;
  const bytesOf = (disk: string) => disks.get(disk)!.bytes;
  let foreign = 0;
  const foreignName = (): string => `other-product-${++foreign}`;
  function begin(job: string, token: string | undefined): void {
    const names = [...disks].filter(([, { excluded }]) => !excluded).map(([name]) => name);
    beginJob(host, id, { job, disks: names, token, since: undefined });
  }
  return {
    id,
    write: async (disk, offset, bytes) => bytesOf(disk).write(bytes, offset),
    async contents(disk) {
      const bytes = new Uint8Array(bytesOf(disk).size);
      bytesOf(disk).read(bytes, 0);
      return bytes;
    },
    isFrozen: async () => machine.frozenBy !== undefined,
    isRunning: async () => machine.power === 'on',
    async traces() {
      const job = machine.job ? [`job ${machine.job.name}`] : [];
      return [...job, ...[...tokens.keys()].map((name) => `token ${name}`)];
    },
    async shutDown() {
      // What only the process of the machine held is gone with it.
      if (machine.job) endJob(host, id, machine.job.name);
      Object.assign(machine, { power: 'off', frozenBy: undefined });
    },
    async start() {
      // Its disks are no longer at rest.
      if (machine.job) endJob(host, id, machine.job.name);
      machine.power = 'on';
    },
    rename: async (name) => void (machine.name = name),
    redefine: async () => tokens.clear(),
    undefine: async () => void host.machines.delete(id),
    addDisk: async (name, size) => addDisk(machine, { name, size }),
    removeDisk: async (name) => void disks.delete(name),
    growDisk: async (name, size) => bytesOf(name).grow(size),
    async loseTracking() {
      for (const token of tokens.values()) token.isLost = true;
    },
    makeInternalSnapshot: async () => void machine.internalSnapshots.push('before upgrade'),
    async addForeignCheckpoint() {
      const name = foreignName();
      begin(name, name);
      endJob(host, id, name);
    },
    async runForeignJob() {
      const name = foreignName();
      begin(name, undefined);
      return { [Symbol.asyncDispose]: async () => endJob(host, id, name) };
    },
  };
}
