import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'tap';
import { listDisks } from '../../../src/host/disks/disks.ts';
import { createPool } from '../../../src/host/disks/pool.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import type { RunProgram } from '../../../src/host/base/programs.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';

// As lsblk 2.38 and smartctl 7.3 say it.

const DISK = { type: 'disk', size: 8e12, rota: true, tran: 'sata', ro: false, mountpoints: [null] };
const DEVICES = [
  {
    ...{ ...DISK, name: 'nvme0n1', model: 'Fast One ', serial: 'S1', rota: false, tran: 'nvme' },
    pttype: 'gpt',
    children: [
      { name: 'nvme0n1p1', type: 'part', size: 1e9, fstype: 'vfat', mountpoints: ['/boot/efi'] },
      {
        ...{
          name: 'nvme0n1p2',
          type: 'part',
          size: 9e9,
          fstype: 'LVM2_member',
          mountpoints: [null],
        },
        children: [{ name: 'vg-root', type: 'lvm', fstype: 'ext4', mountpoints: ['/'] }],
      },
    ],
  },
  { ...DISK, name: 'sda', model: 'Big One', serial: 'S2', fstype: null, pttype: null },
  { ...DISK, name: 'sdb', model: 'Old One', serial: 'S3', fstype: 'ext4', label: 'films' },
  { ...DISK, name: 'sdc', model: null, serial: null, fstype: null, pttype: null },
  { ...DISK, name: 'sr0', type: 'rom' },
  { ...DISK, name: 'loop3', type: 'loop', ro: true },
  { ...DISK, name: 'sdd', size: 0 },
];

function machine() {
  const asked: string[] = [];
  const run: RunProgram = async (name, args) => {
    const line = [name, ...args].join(' ');
    asked.push(line);
    const done = (stdout: string, code = 0) => ({ code, stdout, stderr: '' });
    if (name === 'lsblk') return done(JSON.stringify({ blockdevices: DEVICES }));
    if (name === 'smartctl' && line.endsWith('sda')) {
      // Bit 3: it fails.
      return done('{"smart_status":{"passed":false},"power_on_time":{"hours":41000}}', 8);
    }
    if (name === 'smartctl' && line.endsWith('nvme0n1')) {
      return done('{"smart_status":{"passed":true},"temperature":{"current":38}}');
    }
    if (name === 'smartctl') return done('', 2);
    // What udev has not told lsblk of.
    if (line === 'wipefs --noheadings --output TYPE /dev/sdc') return done('zfs_member\n');
    if (name === 'blkid') return done('e0e0-11\n');
    return done('', name === 'systemctl' && args.includes('is-active') ? 3 : 0);
  };
  const { files } = crashingFs(seeded(0));
  return { files, run, asked };
}

test('disks are told with what is on them, and a failing one before it is too late', async () => {
  const disks = await listDisks(machine());
  deepEqual(
    disks.map(({ name, holds, inUse, health }) => [name, holds.join('; '), inUse, health.state]),
    [
      [
        'nvme0n1',
        'vfat on nvme0n1p1 at /boot/efi; LVM2_member on nvme0n1p2; ext4 on vg-root at /',
        true,
        'good',
      ],
      ['sda', '', false, 'failing'],
      ['sdb', 'ext4 "films" on sdb', false, 'unknown'],
      ['sdc', '', false, 'unknown'],
    ],
  );
  match(disks[1]!.health.detail, /SMART reports a failure, 41000 h/);
  equal(disks[0]!.model, 'Fast One');
});

test('a disk with anything on it is erased only for its serial number, one in use never', async () => {
  const it = machine();
  const create = (disk: string, erase?: string) =>
    createPool(it, { disk, fileSystem: 'xfs', erase });
  await rejects(create('nvme0n1', 'S1'), /is in use/);
  await rejects(create('sdb'), /is not empty: ext4 "films".*erase: S3/);
  await rejects(create('sdb', 'sdb'), /is not empty/);
  await rejects(create('sdc'), /is not empty: zfs_member.*erase: sdc/);
  for (const name of ['sr0', 'loop3', 'sdd', 'sda1', '../sda', '']) {
    await rejects(create(name), { code: 'NOT_FOUND' });
  }
  deepEqual(
    it.asked.filter((line) => /mkfs|--all/.test(line)),
    [],
  );
  await create('sda');
  await create('sdb', 'S3');
  deepEqual(
    it.asked.filter((line) => /mkfs|--all/.test(line)),
    [
      'wipefs --all --quiet /dev/sda',
      'mkfs.xfs -q -f -L holdfast /dev/sda',
      'wipefs --all --quiet /dev/sdb',
      'mkfs.xfs -q -f -L holdfast /dev/sdb',
    ],
  );
  const unit = '/etc/systemd/system/var-lib-holdfast.mount';
  const text = Buffer.from(await it.files.readFile(unit, 10_000)).toString();
  match(text, /What=\/dev\/disk\/by-uuid\/e0e0-11\nWhere=\/var\/lib\/holdfast\nType=xfs\n/);
});

test('a disk that would hide a store, or who may ask from other hosts, is not even emptied', async () => {
  const create = (it: ReturnType<typeof machine>) =>
    createPool(it, { disk: 'sda', fileSystem: 'xfs', erase: undefined });
  for (const [names, why] of [
    [['store/holdfast-store.json'], /would hide the files there: store\. Stop/],
    [['backups/one'], /would hide the files there: backups\. Stop/],
    [['lost+found/x', 'tokens.json'], /would hide the files there: tokens\.json\. Stop/],
    [['a', 'b', 'c', 'd', 'e', 'f', 'g'], /: a, b, c, d, e and 2 more\. Stop/],
  ] as const) {
    const it = machine();
    for (const name of names) {
      const path = `/var/lib/holdfast/${name}`;
      await it.files.makeDirectory(dirname(path));
      await putDurably(it.files, path, Buffer.from('x'));
    }
    await rejects(create(it), { code: 'REFUSED', message: why });
    equal(
      it.asked.some((line) => /mkfs|--all/.test(line)),
      false,
    );
  }
  const empty = machine();
  await empty.files.makeDirectory('/var/lib/holdfast/lost+found');
  await create(empty);
});
