import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { GranularError } from '../../../src/file-restore/base/file-restore-error.ts';
import { readPartitions } from '../../../src/file-restore/volumes/partitions.ts';
import { runProgram } from '../../../src/file-restore/base/programs.ts';
import { parsePartx, parseSfdisk } from '../../../src/file-restore/volumes/table-lists.ts';
import { findVolumes, volumeNamed } from '../../../src/file-restore/volumes/volumes.ts';
import {
  cutInto,
  diskFiles,
  makeDisk,
  makeExt,
  makeFat,
  makeLuks,
  makeNtfs,
  makeTree,
  sfdisk,
} from '../../support/guest-images.ts';
import { overwrite } from '../../support/images.ts';
import { program, without } from '../../support/programs.ts';
import { below, noise, seeded } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MiB = 2 ** 20;
const skip = without('sfdisk', 'blkid', 'mkfs.ntfs', 'mkfs.vfat', 'mcopy', 'cryptsetup', 'prlimit');
const directory = temporaryDirectory();
const shared = { isolated: false };

function blank(name: string, size: number): string {
  const path = join(directory, name);
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

test('volumes of GPT and MBR, logical ones too, go by their number and have places in bytes', {
  skip,
}, async () => {
  const gpt = blank('gpt 1', 64 * MiB);
  await sfdisk(gpt, 'label: gpt\nstart=2048,size=4096\n5 : start=10240,size=2048,type=uefi');
  await program('sfdisk', '-q', '--part-label', gpt, '5', 'na"me\n{\u0001ü');
  const { scheme, partitions } = await readPartitions(gpt);
  equal(scheme, 'gpt');
  deepEqual(
    partitions.map(({ number, offset, length, name }) => [number, offset, length, name]),
    [
      [1, MiB, 2 * MiB, undefined],
      [5, 5 * MiB, MiB, 'na"me?{?ü'],
    ],
  );
  equal(partitions[1]!.type, 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B');

  const dos = blank('dos', 64 * MiB);
  const script = ['start=2048,size=4096', 'start=8192,size=40960,type=5', 'start=10240,size=4096'];
  await sfdisk(dos, ['label: dos', ...script, 'start=20480,size=4096,type=7'].join('\n'));
  const table = await readPartitions(dos);
  equal(table.scheme, 'dos');
  deepEqual(
    table.partitions.map(({ number, type }) => [number, type]),
    [
      [1, '83'],
      [5, '83'],
      [6, '7'],
    ],
  );
});

test('a disk without a table is one volume, also where its boot sector looks like a table', {
  skip,
}, async () => {
  const tree = makeTree(join(directory, 'plain'), 'plain');
  const whole = { number: 0, offset: 0, type: undefined, name: undefined };
  const empty = blank('empty', 3 * MiB);
  deepEqual(await readPartitions(empty), {
    scheme: 'none',
    partitions: [{ ...whole, length: 3 * MiB }],
    odd: [],
  });
  for (const path of [
    await makeFat(join(directory, 'fat'), tree),
    await makeNtfs(join(directory, 'ntfs'), tree),
    await makeExt(join(directory, 'ext'), { tree }),
  ]) {
    const { scheme, partitions } = await readPartitions(path);
    deepEqual([scheme, partitions.length, partitions[0]!.number], ['none', 1, 0]);
  }
  const [volume] = await findVolumes([diskFiles(join(directory, 'ntfs'))], shared);
  deepEqual(
    [volume!.name, volume!.kind, volume!.label, volume!.driver],
    ['vda', 'ntfs', 'Wïndows', { kind: 'ntfs-3g' }],
  );
});

test('a table that is cut off, or noise, is named and never believed', { skip }, async () => {
  const cut = blank('cut', 64 * MiB);
  await sfdisk(cut, 'label: gpt\nstart=2048,size=100000');
  truncateSync(cut, 3 * MiB);
  await rejects(readPartitions(cut), { code: 'UNREADABLE', message: /protective MBR/ });
  const [named] = await findVolumes([diskFiles(cut)], shared);
  deepEqual([named!.name, named!.found], ['vda', 'unreadable']);
  const tiny = blank('tiny', 1);
  await rejects(readPartitions(tiny), { code: 'UNREADABLE' });
  await rejects(readPartitions(join(directory, 'nothing')), { code: 'NOT_FOUND' });
  for (let seed = 0; seed < 8; seed++) {
    const path = join(directory, 'noise');
    const bytes = noise(MiB, seed);
    // Half of them with the mark of an MBR.
    if (seed % 2 === 0) bytes.set([0x55, 0xaa], 510);
    writeFileSync(path, bytes);
    const answer = await readPartitions(path).catch((cause: unknown) => cause);
    if (answer instanceof Error) equal(answer.name, 'GranularError');
    equal((await findVolumes([diskFiles(path)], shared))[0]!.driver.kind, 'none');
  }
});

test('whatever the tools print, the answer is a table or a typed error', async () => {
  const good = JSON.stringify({
    partitiontable: {
      label: 'dos',
      device: 'x',
      unit: 'sectors',
      sectorsize: 512,
      partitions: [{ node: 'x1', start: 1, size: 2, type: '83' }],
    },
  });
  deepEqual(parseSfdisk(good, 'x').entries.length, 1);
  // Places that make no sense are the disk's, not the tool's.
  for (const odd of ['"start":-1', '"start":1e300']) {
    equal(parseSfdisk(good.replace('"start":1', odd), 'x').entries.length, 1);
  }
  const bad = [
    '',
    '[]',
    'null',
    '{}',
    '{"partitiontable":7}',
    good.slice(0, -3),
    good.replace('"x1"', '"y1"'),
    good.replace('"x1"', '"x0"'),
    good.replace('"x1"', '"x1\\u001b[2J"'),
    good.replace('512', '513'),
    good.replace('"dos"', '7'),
    good.replace('[{', '[7,{'),
  ];
  for (const text of bad) {
    try {
      parseSfdisk(text, 'x');
      equal(text, '[7,{ would be no table', 'believed');
    } catch (cause) {
      equal((cause as Error).name, 'GranularError', text);
      equal((cause as GranularError).code, 'UNREADABLE');
    }
  }
  const random = seeded(7);
  for (let round = 0; round < 2000; round++) {
    const at = below(random, good.length);
    const text = good.slice(0, at) + String.fromCharCode(below(random, 128)) + good.slice(at + 1);
    for (const parse of [() => parseSfdisk(text, 'x'), () => parsePartx(text, 'x')]) {
      try {
        parse();
      } catch (cause) {
        equal((cause as Error).name, 'GranularError', text);
      }
    }
  }
});

test('volumes are named by what is on them, and how each is opened', { skip }, async () => {
  const tree = makeTree(join(directory, 'tree'));
  const plain = makeTree(join(directory, 'plain2'), 'plain');
  const luks = await makeLuks(join(directory, 'luks'), 32);
  const swap = blank('swap', 8 * MiB);
  await program('mkswap', swap);
  const random = blank('random', 4 * MiB);
  writeFileSync(random, noise(4 * MiB, 9));
  const files = [
    await makeExt(join(directory, 'p1'), { tree }),
    await makeFat(join(directory, 'p2'), plain),
    await makeNtfs(join(directory, 'p3'), plain),
    luks,
    swap,
    random,
    blank('reserved', 4 * MiB),
  ];
  const types: Record<number, string> = { 6: 'E3C9E316-0B5C-4DB8-817D-F92DF00215AE' };
  const parts = files.map((file, at) => (types[at] ? { file, type: types[at] } : { file }));
  const disk = await makeDisk(join(directory, 'many'), { label: 'gpt', parts });
  const volumes = await findVolumes([disk], shared);
  deepEqual(
    volumes.map(({ name, kind, found }) => [name, kind, found]),
    [
      ['vda1', 'ext4', 'ext4'],
      ['vda2', 'vfat', 'vfat'],
      ['vda3', 'ntfs', 'ntfs'],
      ['vda4', 'crypto_LUKS', 'crypto_LUKS 2'],
      ['vda5', 'swap', 'swap'],
      ['vda6', 'unknown', 'nothing that is recognised'],
      ['vda7', 'unknown', 'nothing that is recognised (Microsoft reserved)'],
    ],
  );
  equal(volumes[0]!.label, 'gu"est');
  const drivers = volumes.map(({ driver }) => driver.kind);
  // FAT by the kernel where it has a driver, else by an appliance.
  match(drivers[1]!, /^(kernel|guestfs)$/);
  deepEqual(drivers.toSpliced(1, 1), ['kernel', 'ntfs-3g', 'container', 'none', 'none', 'none']);
  const isolated = await findVolumes([disk], { isolated: true });
  deepEqual(
    isolated.slice(0, 4).map(({ driver }) => driver.kind),
    ['guestfs', 'guestfs', 'guestfs', 'container'],
  );
  equal(volumeNamed(volumes, 'vda3').kind, 'ntfs');
  try {
    volumeNamed(volumes, 'vdb1');
  } catch (cause) {
    equal((cause as GranularError).code, 'NOT_FOUND');
    match((cause as Error).message, /vda1 \(ext4\), vda2 \(vfat\)/);
  }
  // The same again, as the partitions are found in the disk itself.
  const cut = await cutInto(disk.path, 7);
  deepEqual(
    (await findVolumes([cut], shared)).map(({ uuid }) => uuid),
    volumes.map(({ uuid }) => uuid),
  );
});

// F24
test('a file system that no kernel here reads is listed as closed, with the reason', {
  skip: skip || without('mkfs.minix'),
}, async () => {
  const minix = blank('minix', 4 * MiB);
  await program('mkfs.minix', minix);
  const [volume] = await findVolumes([diskFiles(minix)], shared);
  equal(volume!.found, 'minix');
  const module = await program('find', '/lib/modules', '-name', 'minix.ko*');
  equal(volume!.driver.kind, module === '' ? 'none' : 'guestfs');
  if (volume!.driver.kind === 'none') match(volume!.driver.reason, /linux-image-amd64/);

  // Labels of ZFS: uberblocks in the first two and the last two quarters of a MiB.
  const zfs = blank('zfs', 64 * MiB);
  for (const label of [0, 256, 65_024, 65_280]) {
    for (let at = 0; at < 128; at++) {
      const block = Buffer.alloc(40);
      for (const [field, value] of [0xbab10c, 5000, at + 10, 1, 2].entries()) {
        block.writeBigUInt64LE(BigInt(value), field * 8);
      }
      overwrite(zfs, block, (label + 128 + at) * 1024);
    }
  }
  const [pool] = await findVolumes([diskFiles(zfs)], shared);
  deepEqual([pool!.found, pool!.driver.kind], ['zfs_member', 'none']);
});

test('a missing program is named with its package', { skip }, async () => {
  const { PATH: path } = process.env;
  const bare = join(directory, 'bin');
  mkdirSync(bare);
  try {
    process.env['PATH'] = bare;
    const run = () => runProgram('rsync', ['--version'], { timeoutMs: 10_000 });
    await rejects(run, { code: 'TOOL_MISSING', message: /prlimit .* util-linux/ });
    for (const name of ['prlimit', 'setpriv']) {
      symlinkSync(`/usr/bin/${name}`, join(bare, name));
    }
    await rejects(run, { code: 'TOOL_MISSING', message: /rsync .* apt-get install rsync/ });
  } finally {
    process.env['PATH'] = path;
  }
});

test('a program that hangs is given up with its children, also if it takes no signal', {
  skip,
}, async () => {
  const run = runProgram('env', ['sleep', '60'], { timeoutMs: 200 });
  await rejects(run, { code: 'TIMEOUT' });
  const abort = new AbortController();
  const asked = runProgram('env', ['sleep', '60'], { timeoutMs: 60_000, signal: abort.signal });
  abort.abort();
  await rejects(asked, { code: 'INTERRUPTED' });
  // A child that has left the group keeps the output open.
  const kept = runProgram('env', ['setsid', '--fork', 'sleep', '8'], { timeoutMs: 200 });
  await rejects(kept, { code: 'TIMEOUT' });
});
