import { deepEqual, equal, match } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { inheritedDescriptors } from '../../src/sys/systemd/inherited-descriptors.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const MAIN = new URL('../../src/daemon/main.ts', import.meta.url).pathname;
const NAMES = {
  LISTEN_PID: String(process.pid),
  LISTEN_FDS: '3',
  LISTEN_FDNAMES: 'control:notify:nbd',
};

test('descriptors are found by their names, and only those that are meant for this process', async () => {
  const named = (name: string, more: object = {}): number | undefined =>
    inheritedDescriptors({ ...NAMES, ...more }).get(name)?.[0];
  equal(named('notify'), 4);
  equal(named('nfs'), undefined);
  equal(named('notify', { LISTEN_PID: '8' }), undefined);
  equal(named('notify', { LISTEN_PID: undefined }), undefined);
  equal(named('notify', { LISTEN_FDNAMES: undefined }), undefined);
  equal(named('nbd', { LISTEN_FDS: '2' }), undefined, 'more names than descriptors');
});

test('the service says that it is ready, lives, reloads and stops', async () => {
  const root = temporaryDirectory();
  const told = join(root, 'told');
  // A stand-in for the socket: what is written there is read the same.
  const fd = openSync(told, 'a');
  const settings = join(root, 'holdfastd.json');
  writeFileSync(
    settings,
    JSON.stringify({ store: join(root, 'store'), socket: join(root, 's.sock') }),
  );
  const service = [process.execPath, MAIN, '--config', settings];
  const child = spawn('sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...service], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
    env: { ...process.env, LISTEN_FDS: '1', LISTEN_FDNAMES: 'notify', WATCHDOG_USEC: '300000' },
  });
  closeSync(fd);
  const heard = (what: RegExp): Promise<void> =>
    until(what.source, () => what.test(readFileSync(told, 'utf8')));
  await heard(/READY=1\nSTATUS=no store\n(WATCHDOG=1\n){3}/);
  child.kill('SIGHUP');
  await heard(/RELOADING=1\nMONOTONIC_USEC=\d+\nREADY=1\n/);
  child.kill('SIGTERM');
  deepEqual(await once(child, 'exit'), [0, null]);
  match(readFileSync(told, 'utf8'), /STOPPING=1\n$/);
});
