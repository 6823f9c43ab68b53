import { deepEqual, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { requireErasable } from '../../../src/engine/points/erasure.ts';
import type { RunProgram } from '../../../src/host/base/programs.ts';

// A device is written over only where nothing is lost, or where its serial number was typed (F8).
const FULL = { name: 'sdb', type: 'disk', model: 'ST4000', serial: 'ZA1234', fstype: 'ext4' };
const VOLUME = { name: 'vg0-web', type: 'lvm', serial: null };

function machine(device: object | undefined, marks = ''): RunProgram {
  return async (name) => {
    const blockdevices = device ? [device] : [];
    const stdout = name === 'lsblk' ? JSON.stringify({ blockdevices }) : marks;
    return { code: 0, stdout, stderr: '' };
  };
}

async function refused(run: RunProgram, erase: string | undefined, why: RegExp): Promise<void> {
  await rejects(
    requireErasable(run, '/dev/sdb', erase === undefined ? [] : [erase]),
    (error: Error) => {
      match(error.message, why);
      return true;
    },
  );
}

test('what is on a device is named, and lost only to its serial number', async () => {
  await refused(machine(FULL), undefined, /ST4000.*not empty: ext4 on sdb.*--erase ZA1234/s);
  await refused(machine(FULL), 'sdb', /ZA1234, and --erase names sdb/);
  await requireErasable(machine(FULL), '/dev/sdb', ['other', 'ZA1234']);
  // Partitions of a disk that has nothing else.
  const parted = { name: 'sdb', serial: 'ZA1234', children: [{ name: 'sdb1', type: 'part' }] };
  await refused(machine(parted), undefined, /unknown on sdb1/);
});

test('a device without a serial number is named, and so is what only wipefs sees', async () => {
  await requireErasable(machine(VOLUME), '/dev/vg0/web', []);
  await refused(machine(VOLUME, 'xfs\n'), undefined, /not empty: xfs.*--erase vg0-web/s);
  await refused(machine(undefined, 'LVM2_member\n'), undefined, /--erase sdb$/);
  await requireErasable(machine(undefined, 'LVM2_member\n'), '/dev/sdb', ['sdb']);
});

test('another serial number than the one of this device is refused, empty or not', async () => {
  const empty = { ...FULL, fstype: null };
  await refused(machine(empty), 'ZA9999', /ZA1234, and --erase names ZA9999/);
  deepEqual(await requireErasable(machine(empty), '/dev/sdb', []), undefined);
});
