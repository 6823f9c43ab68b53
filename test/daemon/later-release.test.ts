import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { encodeSummed } from '../../src/formats/store/base/json-record.ts';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk, sameFiles } from '../support/images.ts';
import { alarmed, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MiB = 2 ** 20;
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 8 * MiB, 50);
const home = serviceHome(root);
const { holdfast } = home;

/** Every file of the store but those of recoveries and locks: its bytes and when it was changed. */
function contents(): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(home.store, { recursive: true }) as string[]) {
    if (/^(sessions|leases)\/|(^|\.)lock$/.test(name)) continue;
    const status = statSync(join(home.store, name));
    if (!status.isFile()) found.set(name, 'directory');
    else {
      const bytes = readFileSync(join(home.store, name)).toString('latin1');
      found.set(name, `${status.mtimeMs} ${bytes}`);
    }
  }
  return found;
}

function addFeature(): void {
  for (const name of ['holdfast-store.json', 'holdfast-store.copy.json']) {
    const path = join(home.store, name);
    const { sum: _, ...record } = JSON.parse(readFileSync(path, 'utf8')) as {
      readonly sum: string;
      readonly needs: { readonly write: string[] };
    };
    record.needs.write.push('later-thing');
    writeFileSync(path, encodeSummed(record));
  }
}

test('a service that lacks a feature of writers serves recoveries and changes nothing else', async () => {
  await (await serviceWith(home, image))[Symbol.asyncDispose]();
  addFeature();
  const before = contents();
  // Each look finds a reason for an alarm.
  home.configure({
    passphraseFiles: { nightly: home.passphrase },
    alarms: { poolWarningPercent: 1, poolCriticalPercent: 2 },
  });
  await using service = await home.run();
  const running = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const session = running.result['session'] as string;
  const [{ uri }] = running.result['exports'] as [{ uri: string }];
  {
    await using disk = await openNbdDisk(uri);
    // A boot profile is made of what is read.
    await disk.read(new Uint8Array(4 * MiB), 0);
  }
  const refused = [
    ['backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`],
    ['backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`, '--queue'],
    ['schedule', 'create', 'often', '--at', '*:00', '--check'],
    ['store', 'rebuild-index'],
    ['set', 'create', 'other'],
  ];
  for (const args of refused) {
    const { code, stderr } = await holdfast(...args);
    notEqual(code, 0, args.join(' '));
    match(stderr, /later-thing/, args.join(' '));
  }
  await expectDone(holdfast('lockdown', 'on'));
  await expectDone(holdfast('lockdown', 'off'));
  // Shown, though it cannot be noted.
  await alarmed(holdfast, /pool-space/);
  await service.logged(/alarms cannot be recorded: .*later-thing/);
  await expectDone(holdfast('store', 'check'));
  const out = join(root, 'out.raw');
  await expectDone(holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out));
  ok(sameFiles(image, out));
  for (const end of ['stop', 'discard']) await expectDone(holdfast('session', end, session));
  equal(await service.stop('SIGTERM'), 0);
  deepEqual(contents(), before);
});
