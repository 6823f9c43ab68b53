import type { RunTestHost, ServedSession } from '../../hypervisors/run-rig.ts';
import { fakeHypervisor } from './fake-hypervisor.ts';
import { announce, type FakeHost, machineOf } from './host.ts';
import { hostDisk } from './host-disk.ts';
import { answers } from './host-run.ts';

/** The fake as the suite for runs sees it. */
export function fakeRunHost(): RunTestHost {
  const fake = fakeHypervisor();
  const { host } = fake;
  host.pools.set('fast', 2 ** 30).set('full', 512);
  host.networks.add('lan');
  return {
    ...fake,
    ...{ pool: 'fast', fullPool: 'full', network: 'lan' },
    async setUp(isUp) {
      await fake.setUp(isUp);
      announce(host, { kind: isUp ? 'back' : 'away' });
    },
    serve: async (session, disks) => serve(host, session, disks),
    async sessionTraces() {
      return [
        ...[...host.machines.values()].flatMap(({ id, session, aside }) => [
          ...(session === undefined ? [] : [`machine ${id} ${session}`]),
          ...(aside === undefined ? [] : [`aside ${id} ${aside.session}`]),
        ]),
        ...[...host.volumes]
          .filter(([source, { session }]) => session && !isFree(host, source))
          .map(([source]) => `volume ${source}`),
        ...[...host.placedFiles].filter(([, { session }]) => session).map(([it]) => `file ${it}`),
        ...[...host.shown.keys()].map((session) => `shown ${session}`),
      ];
    },
    poolDisks: async () => [...host.volumes.keys()],
    made: async (id) => madeMachine(host, id),
  };
}

function serve(
  host: FakeHost,
  session: string,
  disks: Readonly<Record<string, Uint8Array>>,
): ServedSession {
  const urlOf = (name: string): string => `nbd://10.0.0.5:10809/${session}-${name}`;
  for (const [name, contents] of Object.entries(disks)) {
    const bytes = hostDisk(contents.length);
    bytes.write(contents, 0);
    host.served.set(urlOf(name), { bytes, isUp: true });
  }
  return {
    disks: Object.entries(disks).map(([name, { length: size }]) => ({
      ...{ name, size },
      urls: [urlOf(name)],
    })),
    async contents(name) {
      const { bytes } = host.served.get(urlOf(name))!;
      const all = new Uint8Array(bytes.size);
      bytes.read(all, 0);
      return all;
    },
    async setUp(isUp) {
      for (const name of Object.keys(disks)) host.served.get(urlOf(name))!.isUp = isUp;
    },
  };
}

function madeMachine(host: FakeHost, id: string) {
  const machine = machineOf(host, id);
  const diskOf = (name: string) => machine.disks.get(name)!;
  const changed = (): void => announce(host, { kind: 'machine', id });
  let layers = 0;
  return {
    async write(name: string, offset: number, bytes: Uint8Array) {
      if (machine.power !== 'on') throw new Error(`${machine.name} is ${machine.power}`);
      const isFenced = diskOf(name).layers.some((it) => host.served.get(it)?.isFenced);
      if (!isFenced && answers(host, diskOf(name))) diskOf(name).bytes.write(bytes, offset);
      else Object.assign(machine, { hasIoError: true });
      changed();
    },
    async contents(name: string) {
      const all = new Uint8Array(diskOf(name).bytes.size);
      diskOf(name).bytes.read(all, 0);
      return all;
    },
    async pause() {
      machine.power = 'paused';
      changed();
    },
    async start() {
      machine.power = 'on';
      changed();
    },
    async shutDown() {
      machine.power = 'off';
      changed();
    },
    async undefine() {
      host.machines.delete(id);
      changed();
    },
    async addLayer(name: string) {
      const disk = diskOf(name);
      disk.layers = [`/fake/snapshot${++layers}`, ...disk.layers];
      changed();
    },
    async moveElsewhere(name: string) {
      Object.assign(diskOf(name), { layers: [`/fake/moved-${name}`], copy: undefined });
      changed();
    },
  };
}

/** A volume has the session in its name for good, as under libvirt: it is free once an unmarked machine has it. */
function isFree(host: FakeHost, source: string): boolean {
  return [...host.machines.values()].some(
    ({ session, disks }) =>
      session === undefined && [...disks.values()].some(({ layers }) => layers.includes(source)),
  );
}
