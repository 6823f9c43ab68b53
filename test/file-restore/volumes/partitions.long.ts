import { deepEqual, ok } from 'node:assert/strict';
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { GranularError } from '../../../src/file-restore/base/file-restore-error.ts';
import {
  type PartitionTable,
  readPartitions,
} from '../../../src/file-restore/volumes/partitions.ts';
import { askGuestfish, sfdisk } from '../../support/guest-images.ts';
import { program, without } from '../../support/programs.ts';
import { below, seeded } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

/*
 * What Holdfast sees on a disk against what a Linux kernel sees on it: tables with stale signatures around them and
 * with entries that make no sense, shown to the kernel in a VM of libguestfs.
 */

const skip = without(
  'sfdisk',
  'partx',
  'guestfish',
  'mkfs.vfat',
  'mkfs.ntfs',
  'mkfs.ext4',
  'mkswap',
);
const SEED = Number(process.env['SEED'] ?? 1);
const ROUNDS = Number(process.env['ROUNDS'] ?? 4);
/** In one VM. */
const DISKS = 60;
const MiB = 2 ** 20;
const SECTORS = (32 * MiB) / 512;
const directory = temporaryDirectory();

type Random = ReturnType<typeof seeded>;

const BEFORE = [
  [],
  ['mkfs.ext4', '-q', '-F'],
  ['mkfs.vfat', '-F', '16'],
  ['mkfs.ntfs', '-F', '-Q', '-q'],
  ['mkswap'],
];

function change(path: string, position: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[below(random, from.length)]!;
}

async function makeDisk(path: string, random: Random): Promise<void> {
  writeFileSync(path, '');
  truncateSync(path, 32 * MiB);
  const [command, ...args] = pick(random, BEFORE);
  if (command !== undefined) await program(command, ...args, path);
  if (below(random, 10) === 0) return;
  const lines = ['start=2048,size=8192', 'start=12288,size=4096', 'start=20480,size=16384'];
  const isGpt = below(random, 3) === 0;
  if (!isGpt && below(random, 3) === 0) {
    lines.push('start=40960,size=20000,type=5', 'start=43008,size=4096', 'start=49152,size=2048');
  }
  await sfdisk(path, `label: ${isGpt ? 'gpt' : 'dos'}\n${lines.join('\n')}`, '--wipe', 'never');
  const changes = below(random, 3);
  for (let at = 0; at < changes; at++) {
    if (isGpt) changeGpt(path, below(random, 3), random);
    else changeMbr(path, below(random, 4), random);
  }
}

function changeMbr(path: string, entry: number, random: Random): void {
  const at = 446 + entry * 16;
  const strange = () => pick(random, [0, 1, 2048, SECTORS - 1, SECTORS + 5, 0xffffffff]);
  const kind = below(random, 8);
  if (kind === 0) change(path, at, Buffer.of(pick(random, [0x80, 0, 1, 0x7f])));
  else if (kind < 3) change(path, at + 4, Buffer.of(pick(random, [0, 7, 0x42, 0x83, 0xef])));
  else if (kind < 5) change(path, at + 8, u32(strange()));
  else change(path, at + 12, u32(strange()));
}

function changeGpt(path: string, entry: number, random: Random): void {
  const [entriesAt, length] = [1024, 128 * 128];
  const table = readFileSync(path).subarray(0, entriesAt + length);
  const at = entriesAt + entry * 128;
  const strange = () => BigInt(pick(random, [0, 34, 2048, SECTORS - 1, SECTORS + 5, 2 ** 52]));
  const kind = below(random, 5);
  if (kind === 0) table.fill(0, at, at + 16);
  else table.writeBigUInt64LE(strange(), at + (kind < 3 ? 32 : 40));
  table.writeUInt32LE(crc32(table.subarray(entriesAt)), 512 + 88);
  table.writeUInt32LE(0, 512 + 16);
  table.writeUInt32LE(crc32(table.subarray(512, 512 + 92)), 512 + 16);
  change(path, 0, table);
}

/** By disk, and by number: first sector and count. */
async function byKernel(paths: readonly string[]): Promise<(readonly number[])[][]> {
  // The kernel's names of disks come as they are found; the last but one number of `2:0:7:0` is the disk's.
  const look =
    'ls -l /sys/block; grep -H . /sys/block/sd*/sd*/start /sys/block/sd*/sd*/size || true';
  const text = await askGuestfish(paths, [`debug sh "${look}"`]);
  const places = new Map<string, number>();
  for (const [, place, disk] of text.matchAll(/\/\d+:0:(\d+):0\/block\/(sd[a-z]+)/g)) {
    places.set(disk!, Number(place));
  }
  const disks = paths.map(() => new Map<number, Record<string, number>>());
  for (const [, disk, number, field, value] of text.matchAll(
    /\/sys\/block\/(sd[a-z]+)\/sd[a-z]+(\d+)\/(start|size):(\d+)/g,
  )) {
    const partitions = disks[places.get(disk!)!];
    partitions?.set(Number(number), {
      ...partitions.get(Number(number)),
      [field!]: Number(value),
    });
  }
  return disks.map((it) => [...it].map(([number, { start, size }]) => [number, start!, size!]));
}

/** What the kernel shows of what Holdfast shows: it cuts off what reaches beyond the end, and shows extended ones. */
function comparable(
  kernel: (readonly number[])[],
  { odd }: PartitionTable,
  isExtended: (n: number) => boolean,
) {
  const left = new Set(odd.map(({ number }) => number));
  return kernel
    .filter(
      ([number, start, size]) =>
        !left.has(number!) && !isExtended(number!) && start! + size! <= SECTORS,
    )
    .toSorted((a, b) => a[0]! - b[0]!);
}

/** The type of a primary entry of an MBR. */
function typeOf(path: string, number: number): number {
  if (number > 4) return 0;
  const fd = openSync(path, 'r');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, 446 + (number - 1) * 16 + 4);
  closeSync(fd);
  return byte[0]!;
}

for (let round = 0; round < ROUNDS; round++) {
  test(`${DISKS} disks have the partitions that a kernel sees on them, SEED=${SEED + round}`, {
    skip,
  }, async () => {
    const random = seeded(SEED + round);
    const paths = Array.from({ length: DISKS }, (_, at) => join(directory, `disk-${round}-${at}`));
    for (const path of paths) await makeDisk(path, random);
    const kernel = await byKernel(paths);
    const wrong: unknown[] = [];
    for (const [at, path] of paths.entries()) {
      let table: PartitionTable;
      try {
        table = await readPartitions(path);
      } catch (cause) {
        ok(cause instanceof GranularError, String(cause));
        table = { scheme: 'none', partitions: [], odd: [] };
      }
      const ours = table.partitions
        .filter(({ number }) => number > 0)
        .map(({ number, offset, length }) => [number, offset / 512, length / 512]);
      const isExtended = (number: number): boolean =>
        table.scheme === 'dos' && [0x05, 0x0f, 0x85].includes(typeOf(path, number));
      const theirs = comparable(kernel[at]!, table, isExtended);
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
        wrong.push({ disk: path, ours, theirs, odd: table.odd, scheme: table.scheme });
      }
    }
    deepEqual(wrong, []);
  });
}
