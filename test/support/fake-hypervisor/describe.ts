import type {
  DescribedDisk,
  MachineDescription,
} from '../../../src/formats/store/catalog/machine.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { HypervisorOptions } from '../../../src/hypervisors/base/hypervisor.ts';
import type { DescribedMachine } from '../../../src/hypervisors/base/machines.ts';
import { type FakeHost, type FakeMachine, machineOf } from './host.ts';
import type { Wire } from './wire.ts';

/** What the parts of the driver share. */
export interface Link {
  readonly host: FakeHost;
  readonly wire: Wire;
  readonly options: HypervisorOptions;
}

/** Everything that we make on a host begins with it. */
export function markOf({ options }: Link): string {
  return `holdfast-${options.owner}-`;
}

/** With everything that can be read; what a wish leaves out is not known here. */
export async function describeMachine(
  { host, wire, options }: Link,
  id: string,
  signal: AbortSignal,
): Promise<DescribedMachine> {
  const { machine, names } = await wire.call(
    'describe',
    () => {
      const found = machineOf(host, id);
      return { machine: descriptionOf(found, options.name), names: [...found.files.keys()] };
    },
    signal,
  );
  const files = names.map((name) => ({
    name,
    kind: name === 'nvram' ? ('firmware-vars' as const) : ('definition' as const),
    read: (signal: AbortSignal) =>
      wire.call('read file', () => fileOf(machineOf(host, id), name), signal),
  }));
  return { machine, files };
}

function fileOf({ name: machine, files }: FakeMachine, name: string): Uint8Array {
  const bytes = files.get(name);
  if (bytes) return Uint8Array.from(bytes);
  throw new HypervisorError('NOT_FOUND', `machine ${machine}: its file ${name} is gone`);
}

function descriptionOf(machine: FakeMachine, hypervisor: string): MachineDescription {
  const { id, name } = machine;
  return {
    from: { kind: 'libvirt', hypervisor, product: 'Fake 1.0', id, name },
    ...{ arch: 'x86_64', firmware: { kind: 'bios' }, cpu: { count: 1 } },
    ...{ memory: { bytes: 2 ** 28 }, ids: { uuid: id }, clock: 'utc' },
    disks: [...machine.disks].map(
      ([name, { bytes, bus, excluded, layers }]): DescribedDisk => ({
        ...{ name, bus, size: bytes.size, sectorBytes: 512, excluded },
        source: layers[0],
      }),
    ),
    ...{ nics: [], boot: [], guest: { agent: machine.hasAgent }, autostart: false },
    native: { format: 'libvirt-xml', file: 'definition' },
  };
}
