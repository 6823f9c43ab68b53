import { deepEqual, equal, ok } from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'tap';
import { copyOut } from '../../src/file-restore/browse/copy-out.ts';
import type { DiskFiles } from '../../src/file-restore/volumes/disk-files.ts';
import { type OpenedVolumes, openVolumes } from '../../src/file-restore/mounting/opened-volumes.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { isSuperuser } from '../../src/sys/process/run.ts';
import {
  differences,
  diskFiles,
  makeExt,
  makeStriped,
  makeTree,
  makeTwins,
} from '../support/guest-images.ts';
import { without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Machines with several disks, some of which an appliance has to open.

const skip =
  without('guestfish', 'mkfs.btrfs', 'rsync', 'setfacl', 'setfattr', 'losetup') ||
  (!isSuperuser() && 'only root may mount');
const directory = temporaryDirectory();
const tree = join(directory, 'tree');
if (skip === false) {
  mkdirSync(tree);
  makeTree(tree);
}
let count = 0;

async function openAll(
  disks: readonly DiskFiles[],
  { disk }: { readonly disk?: string },
): Promise<OpenedVolumes> {
  const place = join(directory, `open-${++count}`);
  const work = join(directory, `work-${count}`);
  for (const path of [place, work]) mkdirSync(path);
  return openVolumes(disks, {
    directory: place,
    work,
    isolated: false,
    noFollow: true,
    wanted: undefined,
    disk,
    clock: systemClock(),
    keys: async () => undefined,
  });
}

/** What a VM that runs has beside it. */
function overlaysOf(opened: number): string[] {
  return readdirSync(join(directory, `work-${opened}`)).filter((it) => it.startsWith('libguestfs'));
}

function of(opened: OpenedVolumes, name: string): string {
  return opened.mounted.find(({ volume }) => volume.name === name)!.path;
}

// F19, F22
test('groups of one name, copies of a disk and a Btrfs on two disks: all files of all disks are there', {
  skip,
}, async () => {
  const at = (name: string): string => join(directory, name);
  await makeTwins(at('first'), at('second'));
  copyFileSync(at('first'), at('copy'));
  await makeExt(at('ext4'), { tree });
  await makeStriped(at('stripe1'), at('stripe2'), tree);
  const names = ['first', 'second', 'copy', 'stripe1', 'stripe2', 'ext4'];
  const disks = names.map((name, n) => diskFiles(at(name), new Map(), `vd${'abcdef'[n]}`));
  {
    await using opened = await openAll(disks, {});
    deepEqual(
      opened.mounted.map(({ volume }) => [volume.name, volume.disk]),
      [
        ['rl-root', 'vda'],
        ['rl.vdb-root', 'vdb'],
        ['rl.vdc-root', 'vdc'],
        ['vdd', 'vdd'],
        ['vde', 'vde'],
        ['vdf', 'vdf'],
      ],
    );
    const who = (name: string): string => {
      const out = at(`who-${name}`);
      equal(spawnSync('cp', [join(of(opened, name), 'who'), out]).status, 0);
      return readFileSync(out, 'utf8');
    };
    deepEqual(['rl-root', 'rl.vdb-root', 'rl.vdc-root'].map(who), ['first', 'second', 'first']);
    ok(overlaysOf(1).length > 0);
    await copyOut(of(opened, 'vde'), ['/'], at('striped'));
    equal(await differences(tree, at('striped')), '');
  }
  // A plain disk needs no VM, whatever the others are.
  await using plain = await openAll(disks, { disk: 'vdf' });
  deepEqual(
    plain.mounted.map(({ volume }) => volume.name),
    ['vdf'],
  );
  deepEqual(overlaysOf(2), []);
});
