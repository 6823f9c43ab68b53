import { deepEqual } from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { makeRawDisk } from '../support/images.ts';
import { without } from '../support/programs.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

test('a form restores all disks to files, and shows the job to its end', {
  skip: without('tmux'),
}, async () => {
  const root = temporaryDirectory();
  const image = join(root, 'disk.raw');
  makeRawDisk(image, 2 ** 20, 5);
  const to = join(root, 'out');
  mkdirSync(to);
  const home = serviceHome(root);
  await using _service = await serviceWith(home, image);
  using screen = openScreen([process.execPath, MAIN, 'console', '--socket', home.socket], {
    ...{ directory: root, term: 'linux' },
  });
  await screen.shows(/The service runs\./);
  screen.keys('2');
  await screen.shows(/1 of 1/);
  screen.keys('r');
  await screen.shows(/What +\[ < the machine, to a hypervisor > \]/);
  screen.keys('Left', 'Left', 'Down');
  await screen.shows(/> Directory +\[ _ \]/);
  screen.keys('-l', to);
  screen.keys('Enter');
  await screen.shows(/State +done\n +written to .*, and compared/);
  deepEqual(readdirSync(to).sort(), ['vm-vda.raw', 'vm.xml']);
});
