import { equal, match, ok } from 'node:assert/strict';
import { copyFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { makeRawDisk, overwrite, sameFiles } from '../support/images.ts';
import { noise } from '../support/random.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Disk images of other products, made, damaged and compared by qemu-img.
const skip = without('qemu-img', 'qemu-nbd');
const root = temporaryDirectory();
const MiB = 2 ** 20;

const FORMATS: readonly (readonly [string, readonly string[]])[] = [
  ['qcow2', []],
  ['qcow2', ['-c', '-o', 'compression_type=zstd']],
  ['vmdk', []],
  ['vmdk', ['-o', 'subformat=streamOptimized']],
  ['vmdk', ['-o', 'subformat=monolithicFlat']],
  ['vdi', []],
  ['vpc', ['-o', 'force_size=on']],
  ['vpc', ['-o', 'subformat=fixed,force_size=on']],
  ['vhdx', []],
];

test('images of other products are backed up whole, and what cannot be is refused', {
  skip,
}, async (t) => {
  const { holdfast, backUp } = await holdfastIn(root);
  const raw = join(root, 'disk.raw');
  makeRawDisk(raw);
  const backup = (where: string, ...more: string[]) => backUp('vm', [`vda=${where}`], ...more);
  await expectDone(backup(raw));

  for (const [index, [format, options]] of FORMATS.entries()) {
    await t.test(
      `${format} ${options.join(' ')}: read as what it is, nothing stored again`,
      async () => {
        const image = join(root, `${index}.${format === 'vpc' ? 'vhd' : format}`);
        await program('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, raw, image);
        // Its data lies in another file, which only an administrator may say.
        const said = options.includes('subformat=monolithicFlat') ? ['--format', format] : [];
        const made = await expectDone(backup(image, ...said));
        equal(made.result['storedBytes'], 0);
        // Holes that the format knows are not read.
        // A fixed VHD knows none, and a VHDX of this size is one piece.
        if (format !== 'vhdx' && !options.includes('subformat=fixed,force_size=on')) {
          ok(
            (made.result['readBytes'] as number) < 12 * MiB,
            `${String(made.result['readBytes'])} read`,
          );
        }
      },
    );
  }

  for (const format of ['raw', 'qcow2', 'vmdk', 'vhdx', 'vpc']) {
    await t.test(`a disk that is restored to ${format} has the same contents`, async () => {
      const out = join(root, `out.${format}`);
      await expectDone(
        holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out, '--format', format),
      );
      match(await program('qemu-img', 'compare', '-f', 'raw', '-F', format, raw, out), /identical/);
      ok(statSync(out).blocks * 512 < 12 * MiB, 'sparse');
    });
  }

  await t.test('truncated and corrupt images fail with the reason', async () => {
    const qcow2 = join(root, 'cut.qcow2');
    copyFileSync(join(root, '0.qcow2'), qcow2);
    truncateSync(qcow2, statSync(qcow2).size - 2 * MiB);
    const cut = await backup(qcow2);
    equal(cut.code, 6);
    match(cut.stderr, /damaged or truncated/);
    copyFileSync(join(root, '0.qcow2'), qcow2);
    // The first level-1 entry now points past the end of the file.
    overwrite(qcow2, new Uint8Array(8).fill(0x7f), 0x30000);
    const corrupt = await backup(qcow2);
    equal(corrupt.code, 6);
    const vhdx = join(root, 'cut.vhdx');
    copyFileSync(join(root, '8.vhdx'), vhdx);
    truncateSync(vhdx, MiB);
    equal((await backup(vhdx)).code, 6);
    const vhd = join(root, 'cut.vhd');
    copyFileSync(join(root, '6.vhd'), vhd);
    truncateSync(vhd, statSync(vhd).size - 3 * MiB);
    equal((await backup(vhd)).code, 6, 'a VHD without its footer');
    const nonsense = join(root, 'nonsense.qcow2');
    writeFileSync(nonsense, Buffer.concat([Buffer.from('QFI\u00fb', 'latin1'), noise(5000, 1)]));
    equal((await backup(nonsense)).code, 6);
  });

  await t.test('an image that names other files is refused', async () => {
    const secret = join(root, 'secret');
    writeFileSync(secret, 'root:x:0:0'.repeat(1000));
    const hostile = join(root, 'hostile.raw');
    await program(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-b',
      secret,
      '-F',
      'raw',
      hostile,
      '24M',
    );
    const refused = await backup(hostile);
    equal(refused.code, 1);
    match(refused.stderr, /refers to .*secret/);
    // Taken as what it says it is, or as the raw disk that it may be, by an administrator's word.
    await expectDone(backup(hostile, '--format', 'qcow2'));
    const data = join(root, 'data.qcow2');
    await program(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      `data_file=${secret},data_file_raw=on`,
      data,
      '1M',
    );
    equal((await backup(data)).code, 1);
    const flat = join(root, 'flat.vmdk');
    writeFileSync(
      flat,
      `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n` +
        `RW 8 FLAT "/etc/passwd" 0\nddb.adapterType = "ide"\n`,
    );
    ok((await backup(flat, '--format', 'vmdk')).code !== 0);
  });

  await t.test(
    "a guest cannot make its raw disk another guest's, which lies beside it",
    async () => {
      const guest = join(root, 'guest.raw');
      makeRawDisk(guest, 8 * MiB, 7);
      makeRawDisk(join(root, 'other-guest.raw'), 8 * MiB, 8);
      const descriptor =
        `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n` +
        `RW ${(8 * MiB) / 512} FLAT "other-guest.raw" 0\nddb.adapterType = "ide"\n\0`;
      overwrite(guest, Buffer.from(descriptor), 0);
      const refused = await backup(guest);
      equal(refused.code, 1);
      match(refused.stderr, /refers to .*other-guest\.raw.*--format raw/);
      await expectDone(backup(guest, '--format', 'raw'));
      const out = join(root, 'guest.out');
      await expectDone(holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out));
      ok(sameFiles(guest, out));
    },
  );

  await t.test('names that look like options or protocols are names', async () => {
    const odd = join(root, '-f,nbd:x=1 é.qcow2');
    copyFileSync(join(root, '0.qcow2'), odd);
    await expectDone(backup(odd));
    symlinkSync(odd, join(root, 'link.qcow2'));
    await expectDone(backup(join(root, 'link.qcow2')));
  });

  await t.test('a disk is backed up from an NBD server, and restored to one', async () => {
    const socket = join(root, 'q.sock');
    const target = join(root, 'target.qcow2');
    await program('qemu-img', 'create', '-q', '-f', 'qcow2', target, '24M');
    const serve = (image: string) =>
      program('qemu-nbd', '--fork', '-f', 'qcow2', '-k', socket, '-x', 'disk', image);
    const uri = `nbd+unix:///disk?socket=${socket}`;
    await serve(join(root, '0.qcow2'));
    const made = await expectDone(backup(uri));
    ok((made.result['readBytes'] as number) < 12 * MiB, 'holes are not read');
    await serve(target);
    await expectDone(holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', uri));
    match(
      await program('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', raw, target),
      /identical/,
    );
    equal((await backup('nbd+unix:///disk?socket=/nowhere')).code, 5);
  });
});
