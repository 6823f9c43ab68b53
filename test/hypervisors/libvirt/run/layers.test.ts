import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { parseXml } from '../../../../src/hypervisors/base/xml.ts';
import type { LibvirtHost } from '../../../../src/hypervisors/libvirt/libvirt-host.ts';
import { placedDisks } from '../../../../src/hypervisors/libvirt/run/layers.ts';

const { signal } = new AbortController();
const policies = { errorPolicy: undefined, readErrorPolicy: undefined };

async function placeOf(disk: string): Promise<string | undefined> {
  const xml = `<domain><devices>${disk}</devices></domain>`;
  const found = await placedDisks({} as LibvirtHost, [parseXml(xml, 'domain')], {
    mark: {
      ...{ kind: 'made', session: 'web1-1', isMoving: false, pulled: undefined, writes: 'here' },
      disks: [{ name: 'vda', target: 'vda', served: 'web1-vda', ...policies }],
    },
    ...{ session: 'web1-1', machine: 'uuid', signal },
  });
  return found[0]?.place;
}

const diskOn = (format: string, source: string, below = ''): string =>
  `<disk type="volume" device="disk"><driver name="qemu" type="${format}"/>${source}${below}` +
  '<target dev="vda" bus="virtio"/></disk>';

test('what lies below a layer that cannot be looked at counts as ours', async () => {
  const volume = '<source pool="fast" volume="other.qcow2"/>';
  const image = '<source protocol="rbd" name="pool/image"/>';
  const places = await Promise.all([
    placeOf(diskOn('qcow2', volume)),
    placeOf(diskOn('qcow2', image)),
    // Nothing is below it, as its format or the chain of a machine that runs says.
    placeOf(diskOn('raw', image)),
    placeOf(diskOn('qcow2', volume, '<backingStore/>')),
  ]);
  deepEqual(places, ['ours', 'ours', 'elsewhere', 'elsewhere']);
});
