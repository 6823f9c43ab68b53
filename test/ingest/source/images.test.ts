import { equal, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import type { ImageFormat } from '../../../src/ingest/source/image-format.ts';
import { openSource } from '../../../src/ingest/source/open-source.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { overwrite } from '../../support/images.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// What an image is, by its own words, before any program opens it.
const skip = without('qemu-img', 'qemu-nbd', 'prlimit', 'mkfifo');
const root = temporaryDirectory();
const MiB = 2 ** 20;
const FOOTER = 512;

const at = (name: string): string => join(root, name);
const open = (name: string, format?: ImageFormat) =>
  openSource(realWorld(), at(name), { format, isSecret: () => false });
const create = (format: string, name: string, size: string, ...more: string[]) =>
  program('qemu-img', 'create', '-q', '-f', format, ...more, at(name), size);

async function refused(name: string, why: RegExp, format?: ImageFormat): Promise<void> {
  await rejects(
    async () => {
      await using _ = await open(name, format);
    },
    (error: Error) => {
      match(error.message, why, name);
      return true;
    },
  );
}

async function sizeOf(name: string, format?: ImageFormat): Promise<number> {
  await using source = await open(name, format);
  return source.device.geometry.size;
}

/** Changes a VHD's footer (and its copy in front) and its dynamic header, with new checksums. */
function changeVhd(
  path: string,
  change: (footer: Buffer, header: Buffer | undefined) => void,
): void {
  const bytes = readFileSync(path);
  const footer = bytes.subarray(bytes.length - FOOTER);
  const isDynamic = bytes.toString('latin1', 0, 8) === 'conectix';
  const header = isDynamic ? bytes.subarray(512, 512 + 1024) : undefined;
  change(footer, header);
  seal(footer, 64);
  if (header) {
    seal(header, 36);
    bytes.set(footer, 0);
  }
  writeFileSync(path, bytes);
}

function seal(part: Buffer, checksum: number): void {
  part.fill(0, checksum, checksum + 4);
  part.writeUInt32BE(~part.reduce((sum, byte) => sum + byte, 0) >>> 0, checksum);
}

// F1
test('a VHD is as large as its footer says, whichever program made it', { skip }, async () => {
  const size = 16 * MiB;
  for (const creator of ['vbox', 'swnd', 'qemu', 'win ']) {
    for (const subformat of ['fixed', 'dynamic']) {
      const name = `${creator.trim()}-${subformat}.vhd`;
      const raw = at('marked.raw');
      writeFileSync(raw, '');
      truncateSync(raw, size);
      overwrite(raw, Buffer.from('LAST SECTOR'), size - 512);
      const options = `subformat=${subformat},force_size=on`;
      await program('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', options, raw, at(name));
      changeVhd(at(name), (footer) => {
        footer.write(creator, 28, 'latin1');
        // 480 cylinders of 4 heads and 17 sectors: 128 sectors less.
        footer.set([0x01, 0xe0, 4, 17], 56);
      });
      await using source = await open(name);
      equal(source.device.geometry.size, size, name);
      const last = new Uint8Array(512);
      await source.device.read(last, size - 512);
      match(Buffer.from(last).toString('latin1'), /^LAST SECTOR/, name);
    }
  }
});

// F16
test('a differencing image is refused by name, parent or not', { skip }, async () => {
  const parent = at('parent.raw');
  writeFileSync(parent, Buffer.alloc(MiB, 0xab));
  const toVpc = ['convert', '-f', 'raw', '-O', 'vpc', '-o', 'subformat=dynamic,force_size=on'];
  await program('qemu-img', ...toVpc, parent, at('parent.vhd'));
  await create('vpc', 'child.vhd', '1M', '-o', 'subformat=dynamic,force_size=on');
  changeVhd(at('child.vhd'), (footer, header) => {
    footer.writeUInt32BE(4, 60);
    header!.set(readFileSync(at('parent.vhd')).subarray(68, 84), 40);
    header!.set(Buffer.from('parent.vhd', 'utf16le').swap16(), 64);
  });
  copyFileSync(at('child.vhd'), at('child.avhd'));
  for (const name of ['child.vhd', 'child.avhd']) {
    await refused(name, /differencing VHD/);
    await refused(name, /differencing VHD/, 'vpc');
  }
  await create('vdi', 'child.vdi', '4M');
  overwrite(at('child.vdi'), Uint8Array.of(4, 0, 0, 0), 76);
  await refused('child.vdi', /differencing VDI/);
  await create('vhdx', 'child.avhdx', '4M');
  changeVhdx(at('child.avhdx'), '3767a1ca36fa434db3b633f0aa44e76b', 4, 2);
  await refused('child.avhdx', /differencing VHDX/);
  writeFileSync(
    at('delta.vmdk'),
    descriptor('RW 8 FLAT "parent.raw" 0').replace('ffffffff', 'fffffffe'),
  );
  await refused('delta.vmdk', /does not say over which/, 'vmdk');
});

// F3
test('a VHDX with large sectors is refused by name', { skip }, async () => {
  await create('vhdx', 'large.vhdx', '4M');
  equal(await sizeOf('large.vhdx'), 4 * MiB);
  changeVhdx(at('large.vhdx'), '1dbf41816fa90947ba47f233a8faab5f', 0, 4096);
  await refused('large.vhdx', /sectors of 4096 bytes/);
});

/** Writes a u32 into a metadata item. */
function changeVhdx(path: string, guid: string, offset: number, value: number): void {
  const bytes = readFileSync(path);
  const entry = bytes.indexOf(Buffer.from(guid, 'hex'));
  const table = bytes.indexOf('metadata', 0, 'latin1');
  bytes.writeUInt32LE(value, table + bytes.readUInt32LE(entry + 16) + offset);
  writeFileSync(path, bytes);
}

// F2
test('what only looks like a raw disk is taken for one by word alone', { skip }, async () => {
  const foreign: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
    ['disk.qed', 'QED\0', /is a QED image/],
    ['disk.hdd', 'WithoutFreeSpace', /is a Parallels image/],
    ['esx3.vmdk', 'COWD', /extent of a VMware disk/],
    ['disk-delta.vmdk', Uint8Array.of(0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0), /SEsparse/],
    ['disk.raw.gz', Uint8Array.of(0x1f, 0x8b, 8, 0), /compressed with gzip/],
    ['disk.raw.xz', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), /compressed with xz/],
    ['cut.qcow2', 'nothing', /named like a qcow2 image and is not one/],
    ['disk-s001.vmdk', 'nothing', /named like a vmdk image/],
  ];
  for (const [name, head, why] of foreign) {
    const bytes = Buffer.alloc(4096);
    bytes.set(Buffer.from(head as string), 0);
    writeFileSync(at(name), bytes);
    await refused(name, why);
    equal(await sizeOf(name, 'raw'), 4096);
  }
  writeFileSync(at('web-flat.vmdk'), Buffer.alloc(4096, 1));
  equal(await sizeOf('web-flat.vmdk'), 4096, 'VMware keeps raw disks so');
  await create('vpc', 'fixed.vhd', '4M', '-o', 'subformat=fixed,force_size=on');
  for (const name of ['fixed.VHD', 'fixed.img', 'fixed']) copyFileSync(at('fixed.vhd'), at(name));
  equal(await sizeOf('fixed.VHD'), 4 * MiB);
  await refused('fixed.img', /ends like a fixed VHD: give --format vhd/);
  await refused('fixed', /ends like a fixed VHD/);
  equal(await sizeOf('fixed.img', 'vpc'), 4 * MiB);
  await create('qcow', 'old.qcow', '4M');
  await refused('old.qcow', /qcow image of version 1/);
  const key = [
    '--object',
    'secret,id=k,data=abc',
    '-o',
    'encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10',
    // QEMU measures how long its hash takes by a clock that ticks, and gives up where SHA-256 was done within a tick.
    '-o',
    'encrypt.hash-alg=sha512',
  ];
  await create('qcow2', 'luks.qcow2', '4M', ...key);
  await refused('luks.qcow2', /is an encrypted qcow2 image/);
});

test('an image that ends before its data is truncated, in every format', { skip }, async () => {
  await create('vpc', 'short.vhd', '4M', '-o', 'subformat=fixed,force_size=on');
  const bytes = readFileSync(at('short.vhd'));
  const footer = bytes.subarray(bytes.length - FOOTER);
  writeFileSync(at('short.vhd'), Buffer.concat([bytes.subarray(0, MiB), footer]));
  await refused('short.vhd', /fixed VHD of 4194304 bytes by its footer, and holds 1048576/);
  writeFileSync(at('full.raw'), Buffer.alloc(4 * MiB, 1));
  const toVpc = ['convert', '-f', 'raw', '-O', 'vpc', '-o', 'subformat=dynamic,force_size=on'];
  await program('qemu-img', ...toVpc, at('full.raw'), at('cut.vhd'));
  truncateSync(at('cut.vhd'), 3 * MiB);
  await refused('cut.vhd', /damaged or truncated: a block ends at/);
  await create('vmdk', 'flat.vmdk', '4M', '-o', 'subformat=monolithicFlat');
  equal(await sizeOf('flat.vmdk', 'vmdk'), 4 * MiB);
  truncateSync(at('flat-flat.vmdk'), MiB);
  await refused('flat.vmdk', /flat-flat\.vmdk is truncated: 1048576 bytes/, 'vmdk');
});

const descriptor = (...extents: readonly string[]): string =>
  '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n' +
  `${extents.join('\n')}\nddb.adapterType = "ide"\n`;

test('no extent of a VMDK is passed over', { skip }, async () => {
  writeFileSync(at('extent.raw'), Buffer.alloc(MiB, 7));
  const whole = 'RW 2048 FLAT "extent.raw" 0';
  writeFileSync(at('whole.vmdk'), descriptor(whole));
  equal(await sizeOf('whole.vmdk', 'vmdk'), MiB);
  for (const odd of [
    'RW 2048 ZERO',
    'RDONLY 2048 FLAT "extent.raw" 0',
    'RW 8 VMFSRDM "extent.raw"',
  ]) {
    writeFileSync(at('odd.vmdk'), descriptor(whole, odd));
    await refused('odd.vmdk', /has an extent of kind .*which Holdfast does not read/, 'vmdk');
  }
});

test('what an image names has bounds, and reaches no terminal as it is', async () => {
  for (const name of ['\u001b[2J.raw', 'x'.repeat(5000)]) {
    writeFileSync(at('named.vmdk'), descriptor(`RW 2048 FLAT "${name}" 0`));
    for (const format of [undefined, 'vmdk'] as const) {
      await refused(
        'named.vmdk',
        /^\S+ refers to a file by what is not a name: it is .*s$/,
        format,
      );
    }
  }
  const many = Array.from({ length: 8193 }, () => 'RW 2048 FLAT "many.vmdk" 0');
  writeFileSync(at('many.vmdk'), descriptor(...many));
  await refused('many.vmdk', /more files than any disk has/, 'vmdk');
});

// A15
test('a pipe or a device among the files of an image is refused at once', { skip }, async () => {
  await program('mkfifo', at('pipe'));
  await create('qcow2', 'base.qcow2', '4M');
  await create('qcow2', 'over-pipe.qcow2', '4M', '-u', '-b', 'pipe', '-F', 'raw');
  await create('qcow2', 'over-device.qcow2', '4M', '-u', '-b', '/dev/zero', '-F', 'raw');
  await create('qcow2', 'deep.qcow2', '4M', '-u', '-b', 'over-pipe.qcow2', '-F', 'qcow2');
  await create('qcow2', 'guessed.qcow2', '4M', '-u', '-b', 'over-pipe.qcow2', '-F', 'qcow2');
  const extension = readFileSync(at('guessed.qcow2')).indexOf(Buffer.from('e2792aca', 'hex'));
  overwrite(at('guessed.qcow2'), Uint8Array.of(1, 2, 3, 4), extension);
  const data = `data_file=${at('data.raw')}`;
  await create('qcow2', 'data.qcow2', '4M', '-o', data);
  await program('rm', at('data.raw'));
  await program('mkfifo', at('data.raw'));
  writeFileSync(at('pipe.vmdk'), descriptor('RW 2048 FLAT "pipe" 0'));
  const started = Date.now();
  await refused('pipe', /neither a file nor a block device/);
  for (const name of ['over-pipe', 'over-device', 'deep', 'guessed', 'data']) {
    await refused(`${name}.qcow2`, /neither a file nor a block device/, 'qcow2');
  }
  await refused('pipe.vmdk', /neither a file nor a block device/, 'vmdk');
  ok(Date.now() - started < 10_000);
  await create('qcow2', 'circle.qcow2', '4M', '-u', '-b', 'circle.qcow2', '-F', 'qcow2');
  await refused('circle.qcow2', /more files than any disk has/, 'qcow2');
});

// F4
test('an image that a virtual machine writes to is not read, in any format', { skip }, async () => {
  writeFileSync(at('live.raw'), Buffer.alloc(MiB));
  await create('qcow2', 'live.qcow2', '1M');
  await create('qcow2', 'above.qcow2', '1M', '-b', 'live.raw', '-F', 'raw');
  for (const [name, format] of [
    ['live.raw', 'raw'],
    ['live.qcow2', 'qcow2'],
  ] as const) {
    await using _ = await writer(at(name), format);
    await refused(name, /is in use: a virtual machine has it open for writing/);
    await refused(name, /is in use/, format);
    if (format === 'raw') await refused('above.qcow2', /live\.raw is in use/, 'qcow2');
  }
  equal(await sizeOf('live.raw'), MiB);
  await using _ = await open('live.raw');
  await rejects(
    program('qemu-io', '-f', 'raw', '-c', 'write 0 512', at('live.raw')),
    /lock/,
    'nor begun',
  );
});

async function writer(path: string, format: string): Promise<AsyncDisposable> {
  const socket = `${path}.sock`;
  const child = spawn('qemu-nbd', ['-t', '-f', format, '-k', socket, path]);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  while (!existsSync(socket)) await sleep(10);
  // It listens before it opens the image, and answers after.
  const client = connect(socket);
  await once(client, 'data');
  client.destroy();
  return {
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}
