import { deepEqual, equal, match, ok } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { backUpDescribed } from '../support/described-points.ts';
import { MACHINE } from '../support/machine-description.ts';
import { program, without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A whole machine in a directory: its disks, and what a hypervisor needs to start it from them.
const root = temporaryDirectory();
const { holdfast, backUp, store } = await holdfastIn(root);
const image = join(root, 'disk.raw');
writeFileSync(image, noise(2 ** 20, 5));
await backUpDescribed(store, 'web1', { image });
await expectDone(backUp('plain', [`vda=${image}`, `data=${image}`]));

function directory(name: string): string {
  const path = join(root, name);
  mkdirSync(path);
  return path;
}

const restore = (machine: string, to: string, ...more: string[]) =>
  holdfast('restore', 'images', `${machine}@latest`, '--to', to, ...more);

test('a machine is restored with its disks, its domain and its firmware', async () => {
  const to = directory('web1');
  const { result } = await expectDone(restore('web1', to));
  const [disk] = result['disks'] as { disk: string; to: string }[];
  deepEqual(readFileSync(disk!.to), readFileSync(image));
  deepEqual(
    (result['files'] as string[]).toSorted(),
    ['web1.xml', 'web1_VARS.fd'].map((it) => join(to, it)),
  );
  const domain = readFileSync(join(to, 'web1.xml'), 'utf8');
  ok(domain.includes(`<source file='${disk!.to}'/>`), domain);
  ok(domain.includes(`<nvram>${join(to, 'web1_VARS.fd')}</nvram>`));
  ok(!domain.includes(MACHINE.ids.uuid));
  equal(statSync(join(to, 'web1_VARS.fd')).size, 540_672);
  for (const name of readdirSync(to)) equal(statSync(join(to, name)).mode & 0o777, 0o600, name);
});

test('a restore that was interrupted is repeated, and replaces nothing of others', async () => {
  const to = directory('again');
  const { result } = await expectDone(restore('web1', to));
  const [disk] = result['disks'] as { to: string }[];
  unlinkSync(join(to, 'web1.xml'));
  const repeated = await expectDone(restore('web1', to));
  equal((repeated.result['disks'] as { writtenBytes: number }[])[0]!.writtenBytes, 0);
  const names = readdirSync(to);
  ok(names.includes('web1.xml'));

  for (const path of [join(to, 'web1.xml'), disk!.to]) {
    const before = readFileSync(path);
    writeFileSync(path, 'of another');
    const refused = await restore('web1', to);
    ok(refused.code !== 0);
    match(refused.stderr, /exists: remove it, or give --overwrite/);
    equal(readFileSync(path, 'utf8'), 'of another');
    await expectDone(restore('web1', to, '--overwrite'));
    deepEqual(readFileSync(path), before);
  }
  deepEqual(readdirSync(to), names);
  const nowhere = await restore('web1', join(root, 'nowhere'));
  equal(nowhere.code, 5);
  match(nowhere.stderr, /no such directory/);
});

const device = readdirSync('/sys/block')
  .map((name) => join('/dev', name))
  .find((path) => existsSync(path));

test('a name that leads to a device is refused: images are files', {
  skip: device === undefined && 'no block device is here',
}, async () => {
  const to = directory('linked');
  symlinkSync(device!, join(to, 'web1-vda.raw'));
  const refused = await restore('web1', to, '--format', 'raw');
  ok(refused.code !== 0);
  match(refused.stderr, /is a device, to which a name in the directory leads: nothing was written/);
});

test('VMDK images come with a .vmx that names them', {
  skip: without('qemu-img', 'qemu-nbd'),
}, async () => {
  const to = directory('vmware');
  await expectDone(restore('plain', to, '--format', 'vmdk'));
  deepEqual(readdirSync(to), ['plain-data.vmdk', 'plain-vda.vmdk', 'plain.vmx', 'plain.xml']);
  const vmx = readFileSync(join(to, 'plain.vmx'), 'utf8');
  match(vmx, /^scsi0:0\.fileName = "plain-vda\.vmdk"$/m);
  match(vmx, /^scsi0:1\.fileName = "plain-data\.vmdk"$/m);
  match(readFileSync(join(to, 'plain.xml'), 'utf8'), /type='vmdk'/);
  const disk = join(to, 'plain-data.vmdk');
  await program('qemu-img', 'compare', '-f', 'raw', '-F', 'vmdk', image, disk);
});
