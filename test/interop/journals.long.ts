import { deepEqual, equal } from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { isSuperuser } from '../../src/sys/process/run.ts';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { makeDisk } from '../support/guest-images.ts';
import { program, without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const skip =
  (!isSuperuser() && 'only root may mount') ||
  (!existsSync('/dev/fuse') && 'this kernel has no FUSE') ||
  without('guestfish', 'sfdisk', 'rsync', 'losetup');
const directory = temporaryDirectory();
const { holdfast, backUp } = await holdfastIn(directory);
const MiB = 2 ** 20;
const FILES = 24;

async function made(name: string, sizeMiB: number, ...mkfs: readonly string[]): Promise<string> {
  const path = join(directory, name);
  writeFileSync(path, '');
  truncateSync(path, sizeMiB * MiB);
  await program(mkfs[0]!, ...mkfs.slice(1), '-q', '-F', path);
  return path;
}

/** An ext4 whose last 24 MiB are in its journal only, as a guest leaves it that is backed up while it runs. */
async function makeJournaled(): Promise<string> {
  const path = await made('journaled', 160, 'mkfs.ext4', '-J', 'size=64');
  const mounted = `${path}.mounted`;
  mkdirSync(mounted);
  await program('mount', '-t', 'ext4', '-o', 'loop,data=journal', path, mounted);
  try {
    mkdirSync(join(mounted, 'd'));
    for (let at = 0; at < FILES; at++) writeFileSync(join(mounted, `d/${at}`), noise(MiB, at));
    await program('sync', '-f', mounted);
    copyFileSync(path, `${path}.torn`);
  } finally {
    await program('umount', mounted);
  }
  return `${path}.torn`;
}

// F17, F23
test('a long journal is replayed in a VM that has the volumes of a machine with many', {
  skip,
}, async () => {
  const parts = [{ file: await makeJournaled() }];
  for (let at = 0; at < 23; at++) parts.push({ file: await made(`small${at}`, 1, 'mkfs.ext2') });
  await makeDisk(join(directory, 'disk'), { label: 'gpt', parts });
  await expectDone(backUp('vm', [`vda=${join(directory, 'disk')}`]));
  const out = join(directory, 'out');
  const { result } = await expectDone(
    holdfast('files', 'get', 'vm@latest', 'vda', '/d', '--isolated', '--to', out),
  );
  deepEqual([result['volume'], result['lost']], ['vda1', []]);
  for (let at = 0; at < FILES; at++) {
    equal(Buffer.compare(readFileSync(join(out, `d/${at}`)), noise(MiB, at)), 0, String(at));
  }
});
