import { equal, match } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const home = serviceHome(root);
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 20);

/** As systemd does it: something else over a directory, and another one read-only. */
const HIDE = `
mkdir -p $0/systemd-private-0123/tmp
mount --bind $0/systemd-private-0123/tmp $0/hidden
mount --bind $0/closed $0/closed && mount -o remount,bind,ro $0/closed
exec "$@"`;

// U22, U23
test('a file that the service does not see, or may not write, is reported as such', async () => {
  for (const name of ['hidden', 'closed']) mkdirSync(join(root, name));
  const hidden = join(root, 'hidden', 'disk.raw');
  makeRawDisk(hidden, 2 ** 20, 20);
  {
    await using service = await serviceWith(home, image);
    await service.stop('SIGTERM');
  }
  await using service = await home.run({ launcher: ['unshare', '-m', 'sh', '-c', HIDE, root] });
  const words = ['backup', 'create', 'nightly', '--machine', 'vm', '--disk'];
  for (const queued of [[], ['--queue']]) {
    const refused = await home.holdfast(...words, `vda=${hidden}`, ...queued);
    equal(refused.code, 5);
    match(refused.stderr, /no such image; the service cannot see what others see in .*\/hidden/);
    const missing = await home.holdfast(...words, `vda=${join(root, 'nothing')}`, ...queued);
    equal(missing.code, 5);
    match(missing.stderr, /nothing: there is no such image$/m, 'which is so for every user');
  }
  const restore = (to: string, ...queued: string[]) =>
    home.holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', join(root, to), ...queued);
  for (const queued of [[], ['--queue']]) {
    const closed = await restore('closed/out.raw', ...queued);
    equal(closed.code, 8);
    match(closed.stderr, /the service may not write in .*\/closed: .*ReadWritePaths=/);
  }
  await expectDone(restore('out.raw'));
  equal(await service.stop('SIGTERM'), 0);
});
