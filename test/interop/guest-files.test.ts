import { createHash } from 'node:crypto';
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { makeDisk, makeExt } from '../support/guest-images.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A file of a recovery point goes into a guest that runs, by its own agent, and is looked at from inside.

const skip =
  libvirtMissing ||
  (!existsSync('/dev/fuse') && 'this kernel has no FUSE') ||
  without('sfdisk', 'losetup');

test('a file of a backup is put back into the running guest', {
  skip,
  timeout: 240_000,
}, async (t) => {
  await using stack = new AsyncDisposableStack();
  const root = temporaryDirectory();
  const tree = join(root, 'tree');
  mkdirSync(tree);
  const bytes = noise(100 * 1024 + 7, 5);
  writeFileSync(join(tree, 'web.conf'), bytes);
  chownSync(join(tree, 'web.conf'), 33, 44);
  chmodSync(join(tree, 'web.conf'), 0o640);
  const parts = [{ file: await makeExt(join(root, 'ext4'), { tree }) }];
  await makeDisk(join(root, 'disk'), { label: 'gpt', parts });
  const home = serviceHome(root);
  const host = stack.use(await libvirtHost());
  const [web1] = await Promise.all([
    host.define({ name: 'web1', disks: [], isStill: true }).then(async (it) => {
      await it.start();
      return it;
    }),
    serviceWith(home, join(root, 'disk')).then((it) => stack.use(it)),
  ]);
  const uri = `qemu+unix:///system?socket=${host.socket}`;
  await expectDone(home.holdfast('hypervisor', 'add', 'kvm1', uri));
  const put = (path: string, to: string, ...more: string[]) =>
    home.holdfast('files', 'put', 'vm@latest', 'vda', path, '--to', `kvm1/web1:${to}`, ...more);
  const sum = createHash('sha256').update(bytes).digest('hex');

  await t.test('it arrives with its owner and rights', async () => {
    const { result } = await expectDone(put('/web.conf', '/run/web.conf'));
    deepEqual(
      [result['sha256'], result['size'], result['replaced'], result['lost']],
      [sum, bytes.length, false, []],
    );
    match(await web1.run('sha256sum /run/web.conf'), new RegExp(`^${sum} `, 'm'));
    match(await web1.run('stat -c "%u:%g %a" /run/web.conf'), /^33:44 640$/m);
    equal((await web1.run('ls -A /run | grep -c holdfast || true')).trim(), '0');
    deepEqual((await expectDone(home.holdfast('files', 'opened'))).result['opened'], []);
  });

  await t.test('it replaces another file only if that was asked for', async () => {
    await web1.run('echo mine > /run/web.conf');
    const refused = await put('/web.conf', '/run/web.conf');
    equal(refused.code, 1);
    match(refused.stderr, /\/run\/web\.conf exists in the guest.*--overwrite/);
    match(await web1.run('cat /run/web.conf'), /^mine$/m);
    const { result } = await expectDone(put('/web.conf', '/run/web.conf', '--overwrite'));
    equal(result['replaced'], true);
    match(await web1.run('sha256sum /run/web.conf'), new RegExp(`^${sum} `, 'm'));
  });

  await t.test('what cannot be done is said, and leaves nothing', async () => {
    match((await put('/web.conf', '/nowhere/x')).stderr, /no directory \/nowhere in the guest/);
    match((await put('/web.conf', '/run')).stderr, /directory of the guest/);
    equal((await put('/nothing', '/run/x')).code, 5);
    equal((await put('/web.conf', 'x')).code, 1);
    equal(
      (await home.holdfast('files', 'put', 'vm@latest', 'vda', '/web.conf', '--to', 'kvm1')).code,
      2,
    );
    await web1.run('mkdir /run/full && mount -t tmpfs -o size=64k tmpfs /run/full');
    const full = await put('/web.conf', '/run/full/web.conf');
    equal(full.code, 7, full.stderr);
    equal((await web1.run('ls -A /run/full | wc -l')).trim(), '0');
  });

  await t.test('an agent that is away is named, with what to do', async () => {
    await web1.run('kill $(cat /run/qemu-ga.pid)');
    const away = await put('/web.conf', '/run/y');
    equal(away.code, 9, away.stderr);
    match(away.stderr, /no guest agent answers in web1.*qemu-guest-agent/);
    await web1.destroy();
    const off = await put('/web.conf', '/run/y');
    equal(off.code, 9);
    match(off.stderr, /kvm1\/web1 is off/);
    ok(true);
  });
});
