import { equal, match, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  openSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { serviceHome } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// The disk of a store that fills up, as guests and an administrator meet it, and how it is emptied again.
const MiB = 2 ** 20;
const DISK = 64 * MiB;
const SIZE = 8 * MiB;
const root = temporaryDirectory();
const mounted = join(root, 'disk');
mkdirSync(mounted);
const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', mounted]);
const home = serviceHome(mounted);
const { holdfast } = home;

function free(): number {
  const { bavail, bsize } = statfsSync(mounted);
  return bavail * bsize;
}

const other = join(mounted, 'other');
/** Another program takes space until so many bytes are left. */
function leave(bytes: number): void {
  const fd = openSync(other, 'a');
  for (let length = MiB; free() > bytes && length >= 4096; ) {
    try {
      if (writeSync(fd, Buffer.alloc(Math.min(length, free() - bytes), 7)) <= 0) length /= 2;
    } catch {
      length /= 2;
    }
  }
  closeSync(fd);
}

const image = join(root, 'vm.raw');
function backUp(seed: number) {
  writeFileSync(image, noise(SIZE, seed));
  return holdfast('backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`);
}

async function alarm(id: string): Promise<string | undefined> {
  const { result } = await expectDone(holdfast('alarm', 'list'));
  const alarms = result['alarms'] as readonly { alarm: string; message: string }[];
  return alarms.find((it) => it.alarm === id)?.message;
}

test('a full disk: backups end first, guests wait, and forgetting and a sweep let all go on', {
  skip: status === 0 ? without('qemu-io') : 'only root may mount',
}, async (t) => {
  t.teardown(() => spawnSync('umount', ['-l', mounted]));
  await using service = await home.run();
  await expectDone(holdfast('store', 'create'));
  const key = ['--passphrase-file', home.passphrase];
  await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...key));
  const first = (await expectDone(backUp(1))).result['point'] as string;
  const second = (await expectDone(backUp(2))).result['point'] as string;
  await expectDone(backUp(3));
  // It leaves a reserve for the next one.
  await expectDone(holdfast('store', 'sweep'));
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const [{ uri }] = result['exports'] as [{ uri: string }];

  leave(DISK / 8 + 2 * MiB);
  const refused = await backUp(4);
  ok(refused.code !== 0);
  match(refused.stderr, /disk of the store is full for backups.*holdfast store sweep/);
  leave(0);
  ok(free() < 4096, `${free()} bytes are free`);
  const guest = spawn('qemu-io', ['-f', 'raw', uri], { stdio: ['pipe', 'pipe', 'inherit'] });
  guest.stdin.end('write -P 9 1M 3M\nflush\nread -P 9 1M 3M\n');
  let said = '';
  guest.stdout.on('data', (part: Buffer) => (said += part.toString()));
  const ended = once(guest, 'close');
  await service.logged(/no space is left: guests wait/);
  await sleep(1000);
  ok(!said.includes('wrote'), 'the guest waits');

  service.signal('SIGHUP');
  await until('an alarm', async () => (await alarm('pool-space')) !== undefined);
  await until('an alarm', async () => (await alarm('session-space')) !== undefined);

  for (const point of [first, second]) await expectDone(holdfast('backup', 'forget', point));
  const swept = await holdfast('store', 'sweep');
  equal(swept.code, 0);
  const freed = free();
  ok(freed > 8 * MiB, `${freed} bytes are free again`);
  await ended;
  match(said, /wrote 3145728\/3145728[^]*read 3145728\/3145728/);
  ok(!/failed/i.test(said), said);
  unlinkSync(other);
  await expectDone(backUp(4));
  service.signal('SIGHUP');
  await until('it is over', async () => (await alarm('pool-space')) === undefined);
  equal((await holdfast('store', 'check')).code, 0);
  equal(await service.stop('SIGTERM'), 0);
});
