import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { qcow2TablesLength } from '../../../../src/formats/image/qcow2-image.ts';
import { LIBVIRT_ERRORS } from '../../../../src/formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../../../src/formats/wire/libvirt-calls.ts';
import { LibvirtError } from '../../../../src/hypervisors/libvirt/libvirt-error.ts';
import { checkDisks } from '../../../../src/hypervisors/libvirt/run/check-run.ts';
import { placesOf } from '../../../../src/hypervisors/libvirt/run/places.ts';
import { fullDisks, reserve } from '../../../../src/hypervisors/libvirt/run/reserved.ts';
import type { RunHost } from '../../../../src/hypervisors/libvirt/run/run-host.ts';
import { MiB } from '../../../../src/lib/sizes.ts';

const { signal } = new AbortController();
const SIZE = 8 * MiB;
const TABLES = qcow2TablesLength(SIZE, SIZE);
const plan = { session: 'web1-1', pool: 'fast', disks: fullDisks([{ name: 'vda', size: SIZE }]) };

/** A host with one pool; a volume takes all its space when it is made, or none. */
function hostWith(kind: 'thin' | 'thick', size: number) {
  const taken = new Map<string, number>();
  const available = () => size - [...taken.values()].reduce((sum, it) => sum + it, 0);
  const volumeNamed = (name: string) => ({ name, key: name, pool: 'fast' });
  const answers = new Map<unknown, (args: Args) => unknown>([
    [LIBVIRT_CALLS.pools, () => ({ pools: [{ name: 'fast' }] })],
    [LIBVIRT_CALLS.networks, () => ({ networks: [] })],
    [LIBVIRT_CALLS.poolByName, () => ({ name: 'fast' })],
    [LIBVIRT_CALLS.poolInfo, () => ({ capacity: size, available: available() })],
    [LIBVIRT_CALLS.poolXml, () => `<pool type="${kind === 'thin' ? 'dir' : 'logical'}"/>`],
    [LIBVIRT_CALLS.refreshPool, () => undefined],
    [
      LIBVIRT_CALLS.volumeByName,
      ({ name }) => {
        if (taken.has(name)) return volumeNamed(name);
        throw new LibvirtError(
          { code: LIBVIRT_ERRORS.noVolume, domain: 18, message: name },
          'volumeByName',
        );
      },
    ],
    [
      LIBVIRT_CALLS.createVolume,
      ({ xml }) => {
        const name = /<name>([^<]*)/.exec(xml)![1]!;
        taken.set(name, kind === 'thin' ? 0 : SIZE);
        return volumeNamed(name);
      },
    ],
    [
      LIBVIRT_CALLS.volumeInfo,
      ({ volume }) => ({ type: 'file', capacity: SIZE, allocation: taken.get(volume.name)! }),
    ],
    [
      LIBVIRT_CALLS.volumeXml,
      ({ volume }) => `<volume><target><path>/fast/${volume.name}</path></target></volume>`,
    ],
  ]);
  const link = { call: async (call: unknown, args: Args) => answers.get(call)!(args) };
  const host = { link, name: 'kvm1' } as unknown as RunHost;
  return {
    host,
    /** What a copy has written. */
    written: (bytes: number) => void taken.set([...taken.keys()][0]!, bytes),
    async findings() {
      const places = await placesOf(host, signal);
      return (await checkDisks(host, plan, { places, signal })).map(({ message }) => message);
    },
  };
}

interface Args {
  readonly name: string;
  readonly xml: string;
  readonly volume: { readonly name: string };
}

test('volumes that take their space at once do not stand in the way of themselves', async () => {
  const { host, findings } = hostWith('thick', SIZE);
  deepEqual(await findings(), []);
  const [disk] = await reserve(host, plan, signal);
  // As after a crash of the process that has made them.
  deepEqual(await findings(), []);
  deepEqual(await reserve(host, plan, signal), [disk]);
});

test('a check finds what would stand in the way of the reservation, in thick pools and thin ones', async () => {
  for (const [kind, needed] of [
    ['thick', SIZE],
    ['thin', SIZE + TABLES],
  ] as const) {
    const { host, findings } = hostWith(kind, needed - 1);
    const message = `the pool "fast" has ${needed - 1} bytes free, and ${needed} are needed`;
    deepEqual(await findings(), [message]);
    await rejects(reserve(host, plan, signal), { code: 'NO_SPACE' });
    const room = hostWith(kind, needed);
    deepEqual(await room.findings(), []);
    equal((await reserve(room.host, plan, signal)).length, 1);
  }
});

test('a file of a copy that was begun still needs what it has not got yet', async () => {
  const { host, findings, written } = hostWith('thin', SIZE + TABLES);
  await reserve(host, plan, signal);
  written(3 * MiB);
  deepEqual(await findings(), []);
  written(SIZE + TABLES);
  deepEqual(await findings(), []);
});
