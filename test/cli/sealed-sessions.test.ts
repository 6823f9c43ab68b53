import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  readTrailer,
} from '../../src/formats/store/sessions/overlay-log.ts';
import { expectDone, runCli, startCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { STORE_1, storeOfRelease1 } from '../support/store-1.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const SECRET = new Uint8Array(8192).fill(0x5a);

test('a session of the previous release writes sealed once its store is upgraded, and is kept whole', async () => {
  const store = storeOfRelease1();
  const passphrase = join(store, '..', 'passphrase');
  writeFileSync(passphrase, `${STORE_1.passphrase}\n`);
  const common = ['--store', store, '--passphrase-file', passphrase];
  const holdfast = (...args: string[]) => runCli([...args, ...common, '--json']);
  const { session } = STORE_1;
  await expectDone(holdfast('store', 'adopt', '--yes'));
  const names = () => readdirSync(join(store, 'sessions', session));
  {
    await using running = await startCli(['recover', '--resume', session, ...common, '--json']);
    await using guest = await openNbdDisk(running.uri);
    await guest.write(SECRET, 0, 'durable');
  }
  ok(!names().some((name) => name.endsWith('.head')), 'the way back is open');
  const before = await runCli(['store', 'check', ...common]);
  match(before.stdout, new RegExp(`session ${session}: written in plain text by an older version`));
  await expectDone(holdfast('store', 'upgrade', '--yes'));
  {
    await using running = await startCli(['recover', '--resume', session, ...common, '--json']);
    await using guest = await openNbdDisk(running.uri);
    const found = new Uint8Array(SECRET.length);
    await guest.read(found, 0);
    deepEqual(found, SECRET);
    await guest.write(SECRET, 2 * SECRET.length, 'durable');
  }
  ok(names().some((name) => name.endsWith('.head')));
  const checked = await expectDone(holdfast('store', 'check'));
  deepEqual(checked.result['plainSessions'], [session]);
  deepEqual(checked.result['problems'], []);
  const kept = await expectDone(holdfast('session', 'keep', session));
  const out = join(store, '..', 'out.raw');
  await expectDone(holdfast('restore', 'disk', kept.result['point'] as string, 'vda', '--to', out));
  const after = await expectDone(holdfast('store', 'check'));
  deepEqual(after.result['plainSessions'], []);
});

/** Flips a bit of the first slot that a guest's page lies in. */
function rot(directory: string): void {
  const [name] = readdirSync(directory).filter((it) => it.endsWith('.seg'));
  const path = join(directory, name!);
  const bytes = readFileSync(path);
  for (let place = 1; (place + 1) * PLACE_LENGTH <= bytes.length; place++) {
    const slot = bytes.subarray(place * PLACE_LENGTH, (place + 1) * PLACE_LENGTH);
    if (readTrailer(slot, PAGE_LENGTH)?.kind !== 'pages') continue;
    const file = openSync(path, 'r+');
    writeSync(file, Uint8Array.of(slot[50]! ^ 1), 0, 1, place * PLACE_LENGTH + 50);
    return closeSync(file);
  }
  throw new Error(`${path} holds no page`);
}

test('the service shows what an overlay has done, and raises an alarm where a page of it has rotted', async () => {
  const directory = temporaryDirectory();
  const image = join(directory, 'disk.raw');
  makeRawDisk(image, 2 ** 23, 50);
  const home = serviceHome(directory);
  await using _service = await serviceWith(home, image);
  await using running = await home.attached('recover', 'vm@latest');
  const { session } = running.ready;
  await using guest = await openNbdDisk(running.uri);
  await guest.write(SECRET.subarray(0, PAGE_LENGTH), 5 * PAGE_LENGTH, 'durable');
  const shown = await expectDone(home.holdfast('session', 'show', session));
  const overlay = shown.result['overlay'] as Record<string, number>;
  equal(overlay['liveBytes'], PAGE_LENGTH);
  ok(overlay['writtenBytes']! >= PAGE_LENGTH && overlay['copiedBytes'] === 0);
  rot(join(home.store, 'sessions', session));
  const page = new Uint8Array(PAGE_LENGTH);
  await rejects(guest.read(page, 5 * PAGE_LENGTH));
  await guest.read(page, 6 * PAGE_LENGTH);
  const wanted = `damaged-overlay:${session}`;
  await until(`the alarm ${wanted}`, async () => {
    const { result } = await expectDone(home.holdfast('alarm', 'list'));
    const alarms = result['alarms'] as { readonly alarm: string; readonly message: string }[];
    const alarm = alarms.find((it) => it.alarm === wanted);
    if (alarm) match(alarm.message, /page 5 of disk vda/);
    return alarm !== undefined;
  });
  // Until the log says that the page was durable, a second after the flush, what fails may be torn.
  await until('damage that a check finds', async () => {
    const key = ['--passphrase-file', home.passphrase];
    const checked = await home.holdfast('store', 'check', ...key);
    if (checked.code === 0) return false;
    equal(checked.code, 6, checked.stdout);
    match(checked.stdout, /page 5 of disk vda/);
    return true;
  });
});
