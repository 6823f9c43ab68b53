import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { parseHypervisorUri } from '../../../src/hypervisors/base/target.ts';
import { openLibvirt } from '../../../src/hypervisors/drivers/libvirt.ts';
import { KiB, MiB } from '../../../src/lib/sizes.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { libvirtHost, libvirtMissing } from '../../support/libvirt.ts';
import { libvirtWire } from '../../support/libvirt-wire.ts';
import { program } from '../../support/programs.ts';
import type { OnCall } from '../rig.ts';
import { endless } from '../taking.ts';

// Disks that are written to volumes of a real libvirt. What every driver promises of them: ../restores.ts.

/** Where a header says that the L1 table is. */
const L1_AT = 40;

test('disks are written to volumes of a real libvirt', {
  skip: libvirtMissing,
  timeout: 300_000,
}, async (t) => {
  await using host = await libvirtHost();
  await using wire = libvirtWire(host);
  mkdirSync(join(host.directory, 'fast'));
  await host.virsh('pool-create-as', 'fast', 'dir', '--target', join(host.directory, 'fast'));
  const signal = endless();
  async function connect(onCall?: OnCall) {
    const uri = parseHypervisorUri(`qemu+unix:///system?socket=${await wire.socket(onCall)}`)!;
    const options = { name: 'kvm1', owner: 'store1', sockets: host.sockets, scratch: undefined };
    const target = { uri, ssh: undefined };
    return openLibvirt({ ...realWorld(), ...options, target }, signal);
  }
  const planOf = (session: string, size: number) => ({
    ...{ session, pool: 'fast' },
    disks: [{ name: 'vda', size, data: size }],
  });

  await t.test('one that is full of data, though its file is longer than the disk', async () => {
    await using driver = await connect();
    const restore = driver.restore!;
    for (const [name, size] of [
      ['full', 16 * MiB],
      ['small', MiB],
    ] as const) {
      const [disk] = await restore.reserve(planOf(name, size), signal);
      const bytes = randomBytes(size);
      await using device = await restore.open(disk!, signal);
      await device.write(bytes, 0, 'cached');
      await device.flush();
      const read = new Uint8Array(size);
      await device.read(read, 0);
      equal(Buffer.compare(read, bytes), 0);
      const raw = join(host.directory, `${name}.raw`);
      writeFileSync(raw, bytes);
      await program('qemu-img', 'check', '-q', disk!.source);
      await program('qemu-img', 'compare', '-s', '-f', 'qcow2', '-F', 'raw', disk!.source, raw);
      match(await host.virsh('vol-info', disk!.source, '--bytes'), new RegExp(`${size} bytes`));
    }
  });

  await t.test('tables that read back differently are an error, until they are right', async () => {
    let file = '';
    let isDamaged = true;
    await using driver = await connect((name) => {
      if (name === 'download-volume' && isDamaged) damage(file);
      return undefined;
    });
    const restore = driver.restore!;
    const [disk] = await restore.reserve(planOf('damaged', 4 * MiB), signal);
    file = disk!.source;
    await using device = await restore.open(disk!, signal);
    await device.write(randomBytes(100_000), 70_000, 'cached');
    for (let times = 0; times < 2; times++) {
      await rejects(device.flush(), { code: 'IO', message: /tables read back differently/ });
    }
    await rejects(device.write(new Uint8Array(512), 0, 'cached'), { code: 'READ_ONLY' });
    isDamaged = false;
    await device.flush();
    await program('qemu-img', 'check', '-q', file);
    const kinds = (await device.extents(0, 4 * MiB)).map(({ offset, kind }) => [offset, kind]);
    deepEqual(kinds, [
      [0, 'zero'],
      [64 * KiB, 'data'],
      [192 * KiB, 'zero'],
    ]);
  });
});

/** The L1 table's first entry names no table any longer. */
function damage(file: string): void {
  const opened = openSync(file, 'r+');
  const at = Buffer.alloc(8);
  readSync(opened, at, 0, 8, L1_AT);
  writeSync(opened, Buffer.alloc(8), 0, 8, Number(at.readBigUInt64BE()));
  closeSync(opened);
}
