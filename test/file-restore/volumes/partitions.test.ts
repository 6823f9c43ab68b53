import { deepEqual, equal, match } from 'node:assert/strict';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { readPartitions } from '../../../src/file-restore/volumes/partitions.ts';
import { findVolumes } from '../../../src/file-restore/volumes/volumes.ts';
import { isSuperuser } from '../../../src/sys/process/run.ts';
import { cutInto, diskFiles, sfdisk } from '../../support/guest-images.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MiB = 2 ** 20;
const skip = without(
  'sfdisk',
  'partx',
  'blkid',
  'mkfs.ext4',
  'mkfs.btrfs',
  'mkfs.ntfs',
  'mkfs.vfat',
);
const directory = temporaryDirectory();
const shared = { isolated: false };
let count = 0;

function blank(sizeMiB: number): string {
  const path = join(directory, `disk-${++count}`);
  writeFileSync(path, '');
  truncateSync(path, sizeMiB * MiB);
  return path;
}

function patch(path: string, bytes: Uint8Array, position: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

/** Number, offset and length in sectors, as other people's tools see them. */
async function bySfdisk(path: string): Promise<(readonly number[])[]> {
  const { partitiontable } = JSON.parse(await program('sfdisk', '--json', path)) as {
    partitiontable: { partitions: { node: string; start: number; size: number }[] };
  };
  return partitiontable.partitions.map(({ node, start, size }) => [
    Number(node.replace(path, '').replace('p', '')),
    start,
    size,
  ]);
}

async function byPartx(path: string, ...args: string[]): Promise<(readonly number[])[]> {
  const words = ['--raw', '--noheadings', '--output', 'NR,START,SECTORS', ...args, path];
  const lines = (await program('partx', ...words)).trim().split('\n');
  return lines.map((line) => line.trim().split(/\s+/).map(Number));
}

/** The partitions that Holdfast finds, the same way. */
async function found(path: string): Promise<(readonly number[])[]> {
  const { partitions } = await readPartitions(path);
  return partitions
    .filter(({ number }) => number > 0)
    .map(({ number, offset, length }) => [number, offset / 512, length / 512]);
}

/** By blkid's own look at the disk. */
async function typeAt(path: string, [, start, size]: readonly number[]): Promise<string> {
  const place = ['--offset', String(start! * 512), '--size', String(size! * 512)];
  const words = ['--probe', '--output', 'value', '--match-tag', 'TYPE', ...place, path];
  return (await program('blkid', ...words)).trim();
}

const ALREADY: Readonly<Record<string, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-L', 'stale'],
  btrfs: ['mkfs.btrfs', '-q'],
  swap: ['mkswap'],
  vfat: ['mkfs.vfat', '-F', '32'],
  ntfs: ['mkfs.ntfs', '-F', '-Q', '-q'],
};

// F9
test('a partition table wins over what the whole disk bore before', { skip }, async () => {
  const inner = blank(64);
  await program('mkfs.ext4', '-q', '-F', '-L', 'new', inner);
  for (const label of ['dos', 'gpt']) {
    for (const [kind, [command, ...args]] of Object.entries(ALREADY)) {
      // A GPT overwrites the others.
      if (label === 'gpt' && kind !== 'btrfs') continue;
      const path = blank(130);
      await program(command!, ...args, path);
      if (label === 'dos') {
        // Without a table all of them are one volume.
        const [only, ...others] = await findVolumes([diskFiles(path)], shared);
        deepEqual([only!.name, only!.kind, only!.aside, others], ['vda', kind, undefined, []]);
      }
      await program(
        'sh',
        '-c',
        `printf 'start=2048\\n' | sfdisk -q --wipe never --label ${label} ${path}`,
      );
      await program(
        'dd',
        `if=${inner}`,
        `of=${path}`,
        'bs=1M',
        'seek=1',
        'conv=notrunc,sparse',
        'status=none',
      );
      const what = `${label} over ${kind}`;
      const partitions = await found(path);
      deepEqual(partitions, await bySfdisk(path), what);
      equal(await typeAt(path, partitions[0]!), 'ext4', what);
      const volumes = await findVolumes([await cutInto(path, 1)], shared);
      const opened = volumes.filter(({ aside }) => aside === undefined);
      deepEqual(
        opened.map(({ name, label: text }) => [name, text]),
        [['vda1', 'new']],
        what,
      );
      for (const { name, aside } of volumes.filter((it) => it.aside !== undefined)) {
        equal(name, 'vda', what);
        match(aside!, /has a partition table/);
      }
    }
  }
});

test('an image of a CD with a partition table is a volume, and so are its partitions', {
  skip,
}, async () => {
  const path = blank(8);
  // ISO 9660: a primary volume descriptor in sector 16 of 2048 bytes.
  const descriptor = Buffer.alloc(2048);
  descriptor.write('\u0001CD001\u0001', 0, 'latin1');
  descriptor.fill(' ', 8, 72);
  descriptor.write('A CD', 40, 'latin1');
  patch(path, descriptor, 16 * 2048);
  await program(
    'sh',
    '-c',
    `printf 'start=2048,size=4096,type=ef\\n' | sfdisk -q --wipe never --label dos ${path}`,
  );
  const volumes = await findVolumes([await cutInto(path, 1)], shared);
  deepEqual(
    volumes.map(({ name, kind, aside }) => [name, kind, aside]),
    [
      ['vda', 'iso9660', undefined],
      ['vda1', 'unknown', undefined],
    ],
  );
});

// F10
test('an entry that makes no sense is left out or named, and the others are there', {
  skip,
}, async () => {
  const dos = blank(64);
  await sfdisk(
    dos,
    'label: dos\nstart=2048,size=4096\nstart=8192,size=4096\nstart=16384,size=4096',
  );
  // Second: of no length. The kernel passes over it.
  patch(dos, Buffer.alloc(4), 446 + 16 + 12);
  // Third: up to 2 TiB.
  patch(dos, Buffer.alloc(4, 0xff), 446 + 32 + 12);
  deepEqual(await found(dos), [[1, 2048, 4096]]);
  deepEqual((await byPartx(dos))[0], [1, 2048, 4096]);
  const volumes = await findVolumes([diskFiles(dos)], shared);
  deepEqual(
    volumes.map(({ name }) => name),
    ['vda1', 'vda3'],
  );
  match(
    JSON.stringify(volumes[1]!.driver),
    /partition 3 reaches to byte \d+, and the disk ends at 67108864/,
  );

  const gpt = blank(64);
  await sfdisk(
    gpt,
    'label: gpt\nstart=2048,size=4096\nstart=8192,size=4096\nstart=16384,size=4096',
  );
  // Second: it ends beyond the disk. All checksums are right.
  const [entriesAt, length] = [1024, 128 * 128];
  const table = readFileSync(gpt).subarray(0, entriesAt + length);
  table.writeBigUInt64LE(2n ** 60n, entriesAt + 128 + 40);
  // Third: of no type, which is unused.
  table.fill(0, entriesAt + 256, entriesAt + 256 + 16);
  table.writeUInt32LE(crc32(table.subarray(entriesAt)), 512 + 88);
  table.writeUInt32LE(0, 512 + 16);
  table.writeUInt32LE(crc32(table.subarray(512, 512 + 92)), 512 + 16);
  patch(gpt, table, 0);
  deepEqual(await found(gpt), [[1, 2048, 4096]]);
  deepEqual(
    (await readPartitions(gpt)).odd.map(({ number }) => number),
    [2],
  );

  // A boot indicator that is neither 0 nor 80h: to the kernel that is not a table.
  const noise = blank(64);
  await sfdisk(noise, 'label: dos\nstart=2048,size=4096');
  patch(noise, Buffer.of(0x77), 446);
  equal((await readPartitions(noise)).scheme, 'none');
});

// F28
test('tables of Sun, SGI, Apple, and of a BSD inside an MBR are read', { skip }, async () => {
  const sun = blank(64);
  await sfdisk(sun, 'label: sun\nstart=16065,size=16065');
  const sgi = blank(64);
  await sfdisk(sgi, 'label: sgi\nstart=4096,size=20480');
  const mac = blank(8);
  patch(mac, Buffer.from('45520200', 'hex'), 0);
  for (const [at, [start, size, type]] of (
    [
      [1, 63, 'Apple_partition_map'],
      [2048, 4096, 'Apple_UNIX_SVR2'],
    ] as const
  ).entries()) {
    const entry = Buffer.alloc(512);
    entry.write('PM', 0);
    entry.writeUInt32BE(2, 4);
    entry.writeUInt32BE(start, 8);
    entry.writeUInt32BE(size, 12);
    entry.write('data', 16);
    entry.write(type, 48);
    patch(mac, entry, 512 * (1 + at));
  }
  for (const [scheme, path] of Object.entries({ sun, sgi, mac })) {
    const table = await readPartitions(path);
    equal(table.scheme, scheme);
    deepEqual(await found(path), await byPartx(path), scheme);
  }

  const bsd = blank(64);
  await sfdisk(bsd, 'label: dos\nstart=2048,size=40960,type=a5\nstart=65536,size=4096');
  const disklabel = Buffer.alloc(512);
  for (const at of [0, 132]) disklabel.writeUInt32LE(0x82564557, at);
  disklabel.writeUInt16LE(4, 138);
  for (const [at, size, start] of [
    [0, 8192, 4096],
    [3, 4096, 16384],
  ] as const) {
    disklabel.writeUInt32LE(size, 148 + at * 16);
    disklabel.writeUInt32LE(start, 152 + at * 16);
    disklabel[148 + at * 16 + 12] = 7;
  }
  let sum = 0;
  for (let at = 0; at < 148 + 4 * 16; at += 2) sum ^= disklabel.readUInt16LE(at);
  disklabel.writeUInt16LE(sum, 136);
  patch(bsd, disklabel, 2049 * 512);
  deepEqual(await found(bsd), await byPartx(bsd));
  equal((await found(bsd)).length, 4);
});

// F3
test('a GPT in sectors of 4096 bytes is read', {
  skip: skip || (!isSuperuser() && 'only root makes a loop device'),
}, async () => {
  const path = blank(64);
  const loop = spawnSync('losetup', ['--find', '--show', '--sector-size', '4096', path], {
    encoding: 'utf8',
  });
  const device = loop.stdout.trim();
  try {
    await program(
      'sh',
      '-c',
      `printf 'start=256,size=1024\\n' | sfdisk -q --no-reread --label gpt ${device}`,
    );
  } finally {
    await program('losetup', '--detach', device);
  }
  deepEqual(await found(path), [[1, 2048, 8192]]);
  deepEqual(await byPartx(path, '--sector-size', '4096'), [[1, 2048, 8192]]);
  equal(readFileSync(path).subarray(4096, 4104).toString(), 'EFI PART');
});

test('a disk that cannot be read is named, and the volumes of the others are there', {
  skip,
}, async () => {
  const good = blank(64);
  await program('mkfs.ext4', '-q', '-F', good);
  const disks = [diskFiles(join(directory, 'nothing')), diskFiles(good, new Map(), 'vdb')];
  const volumes = await findVolumes(disks, shared);
  deepEqual(
    volumes.map(({ name, found: what }) => [name, what]),
    [
      ['vda', 'unreadable'],
      ['vdb', 'ext4'],
    ],
  );
  const [{ driver }] = volumes as [(typeof volumes)[0]];
  match(driver.kind === 'none' ? driver.reason : '', /^no disk vda: [^/]*$/);
});
