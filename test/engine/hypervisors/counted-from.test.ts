import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { changesOver, countedFrom } from '../../../src/engine/hypervisors/counted-from.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import type { SnapshotDisk } from '../../../src/hypervisors/base/backup-driver.ts';

const SIZE = 2 ** 20;
const ID = 'web1-20261121T013000Z-a3f9c2';
const POINT: PointRecord = {
  ...{ id: ID, set: 'nightly', machine: 'web1', created: '2026-11-21T01:30:00.000Z' },
  ...{ sequence: 1, previous: undefined, parent: undefined, origin: 'backup' },
  disks: [
    { name: 'vda', size: SIZE, source: '/images/vda.qcow2', reference: undefined },
    { name: 'vdb', size: SIZE, source: '/images/vdb.qcow2', reference: undefined },
  ],
  stats: { readBytes: 0, storedBytes: 0 },
  tracking: { kind: 'libvirt', checkpoint: 'holdfast-1', point: ID },
};

function snapshotDisk(name: string, more: Partial<SnapshotDisk> = {}): SnapshotDisk {
  const device = memoryDevice(new Uint8Array(SIZE));
  const where = `/images/${name}.qcow2`;
  const changed = [{ offset: 0, length: 512 }];
  return { name, device, where, changed, sectorBytes: 512, why: undefined, ...more };
}

test('changes are counted only from the point to which the tracking says that it belongs', async () => {
  equal(countedFrom(POINT), POINT.tracking);
  const { point: _, ...unnamed } = POINT.tracking!;
  const strangers: Readonly<Record<string, PointRecord | undefined>> = {
    'there is none': undefined,
    'a session that was kept': { ...POINT, origin: 'session' },
    'a record that was copied under another ID': { ...POINT, id: `${ID}0` },
    'one of a release that did not note it': { ...POINT, tracking: unnamed },
    'one without tracking': { ...POINT, tracking: undefined },
  };
  for (const [what, point] of Object.entries(strangers)) equal(countedFrom(point), undefined, what);
});

test('changes of a point that is not counted from do not count, whatever the hypervisor lists', async () => {
  for (const parent of [undefined, { ...POINT, id: `${ID}0` }, { ...POINT, tracking: undefined }]) {
    const { since, disks, unknown } = changesOver(
      { parent, over: undefined },
      { disks: [snapshotDisk('vda')] },
    );
    deepEqual([since, disks.size], [parent?.id, 0]);
    match(unknown!.get('vda')!, /recovery point/);
  }
});

test('changes count for the disk from which the point was made', async () => {
  const disks = [
    snapshotDisk('vda'),
    snapshotDisk('vdb', { where: '/images/other.qcow2' }),
    snapshotDisk('vdc', { changed: undefined, why: 'it is new' }),
  ];
  const { since, disks: counted, unknown } = changesOver({ parent: POINT, over: POINT }, { disks });
  equal(since, ID);
  deepEqual([...counted.keys()], ['vda']);
  match(unknown!.get('vdb')!, /\/images\/other\.qcow2 now, and was in \/images\/vdb\.qcow2/);
  equal(unknown!.get('vdc'), 'it is new');
});

test('what counts from the moment of an earlier point is read over the disks of that one', async () => {
  const parent = { ...POINT, tracking: { ...POINT.tracking!, since: 'web1-before' } };
  const before = {
    ...{ ...POINT, id: 'web1-before' },
    disks: [POINT.disks[0]!, { ...POINT.disks[1]!, source: '/images/before.qcow2' }],
  };
  const disks = [snapshotDisk('vda'), snapshotDisk('vdb')];
  const over = changesOver({ parent, over: before }, { disks });
  equal(over.since, 'web1-before');
  deepEqual([...over.disks.keys()], ['vda']);
  match(over.unknown!.get('vdb')!, /was in \/images\/before\.qcow2 when web1-before was made/);
  const gone = changesOver({ parent, over: undefined }, { disks });
  deepEqual([gone.since, gone.disks.size], [ID, 0]);
  match(gone.unknown!.get('vda')!, /counted since web1-before, which no/);
});
