import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('a set is removed by its typed name, once nothing needs it, and no copy brings it back', async () => {
  const root = temporaryDirectory();
  const image = join(root, 'disk.raw');
  makeRawDisk(image, 2 ** 20, 50);
  const home = serviceHome(root);
  const { holdfast, store } = home;
  await using _service = await serviceWith(home, image);
  const remove = (confirm = 'nightly') =>
    holdfast('set', 'remove', 'nightly', '--confirm', confirm);
  const refused = async (what: RegExp): Promise<void> => {
    const { code, stderr } = await remove();
    equal(code, 3, stderr);
    match(stderr, what);
  };
  const listed = await expectDone(holdfast('backup', 'list'));
  const [{ point }] = listed.result['points'] as [{ readonly point: string }];
  equal((await remove('nightl')).code, 2);
  const job = ['--machine', 'vm', '--backup', 'nightly', '--disk', `vda=${image}`];
  await expectDone(holdfast('schedule', 'create', 'web', '--at', 'yearly', ...job));
  await refused(/used by schedule "web" \("holdfast schedule remove web"\)/);
  await expectDone(holdfast('schedule', 'remove', 'web'));
  await expectDone(holdfast('backup', 'hold', point, '--name', 'legal'));
  await refused(/held by "legal" \("holdfast backup release/);
  await expectDone(holdfast('backup', 'release', point, '--name', 'legal'));
  const run = await expectDone(holdfast('recover', point, '--detach'));
  const session = run.result['session'] as string;
  await expectDone(holdfast('session', 'stop', session));
  await refused(new RegExp(`session ${session}.*discard`));
  await expectDone(holdfast('session', 'discard', session));

  const away = join(root, 'copies');
  cpSync(join(store, 'copies'), away, { recursive: true });
  const done = await expectDone(remove());
  equal(done.result['points'], 1);
  deepEqual(
    readdirSync(join(process.env['HOLDFAST_STATE']!, 'marked')),
    [],
    'what kept its points is forgotten',
  );
  deepEqual((await expectDone(holdfast('set', 'list'))).result['sets'], []);
  equal(existsSync(join(store, 'copies/sets/nightly')), false);
  equal((await remove()).code, 5);
  // A disk of copies that was away then.
  cpSync(away, join(store, 'copies'), { recursive: true });
  await expectDone(holdfast('store', 'repair', '--dry-run'));
  await expectDone(holdfast('store', 'repair'));
  deepEqual((await expectDone(holdfast('set', 'list'))).result['sets'], []);
  equal(existsSync(join(store, 'copies/sets/nightly')), false);
  const swept = await expectDone(holdfast('store', 'sweep'));
  match(JSON.stringify(swept.result['sets']), /nightly \(removed\)/);
  const packs = readdirSync(join(store, 'packs'), { recursive: true, encoding: 'utf8' });
  ok(!packs.some((name) => name.endsWith('.pack')), packs.join());
  const checked = await expectDone(holdfast('store', 'check'));
  deepEqual([checked.result['problems'], checked.result['strays']], [[], []]);
  // What this box knows of the former one does not count.
  await expectDone(holdfast('set', 'create', 'nightly'));
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  home.configure({});
  _service.signal('SIGHUP');
  await _service.logged(/reloaded: /);
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
});
