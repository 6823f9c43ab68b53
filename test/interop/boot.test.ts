import { equal, match, ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn, type Running } from '../support/cli.ts';
import { demoVm, demoVmMissing } from '../support/demo-vm.ts';
import { startGuest } from '../support/guest.ts';
import { program } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A real guest, under emulation: boots from a recovery point, writes, is kept, is discarded, and lives
// through the death of its server.
const skip = demoVmMissing;

/** QEMU's arguments as `recover` prints them for a shell. */
function disksOf({ ready }: Running): string[] {
  const { qemu } = ready as unknown as { qemu: string };
  return [...qemu.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
}

test('a real guest boots from a recovery point at once, and remembers after its session is kept', {
  skip,
  timeout: 900_000,
}, async (t) => {
  const root = temporaryDirectory();
  const { holdfast, backUp, start, store, passphrase } = await holdfastIn(root);
  const made = await expectDone(backUp('demo', [`vda=${await demoVm()}`]));
  const first = made.result['point'] as string;
  let kept = '';

  await t.test('it boots, writes, and its session is kept', async () => {
    await using running = await start('recover', first);
    await using guest = startGuest(disksOf(running));
    await guest.login();
    await guest.shell('echo remembered > /root/note; sync');
    await guest.powerOff();
    equal(await running.stop('SIGINT'), 0);
    const { session } = running.ready;
    kept = (await expectDone(holdfast('session', 'keep', session))).result['point'] as string;
    ok(
      existsSync(join(store, 'sets', 'nightly', 'profiles', 'demo.profile')),
      'what it read is remembered',
    );
  });

  await t.test('what was kept boots with what was written, by --boot', async () => {
    const main = ['src/cli/main.ts', 'recover', kept, '--boot'];
    const secrets = ['--store', store, '--passphrase-file', passphrase];
    await using guest = startGuest([...main, ...secrets], process.execPath);
    await guest.login();
    match(await guest.shell('cat /root/note'), /remembered/);
    await guest.shell('echo forgotten > /root/note; sync');
    await guest.powerOff();
    const { sessions } = (await holdfast('session', 'list')).result as {
      sessions: { session: string; state: string }[];
    };
    equal(sessions.length, 1);
    equal(sessions[0]!.state, 'ready');
    await expectDone(holdfast('session', 'discard', sessions[0]!.session));
  });

  await t.test(
    'the server is killed in the middle of guest writes, and the guest goes on',
    async () => {
      let running = await start('recover', kept);
      await using stack = new AsyncDisposableStack();
      stack.defer(async () => void (await running.stop('SIGKILL')));
      const { session } = running.ready;
      await using guest = startGuest(disksOf(running));
      await guest.login();
      match(await guest.shell('cat /root/note'), /remembered/, 'what was discarded is gone');
      const writing =
        'for n in $(seq 40); do head -c 1000000 /dev/urandom > /root/f$n; md5sum /root/f$n >> /root/sums; sync; done';
      guest.type(`${writing} && echo wrote''-all`);
      for (let kill = 0; kill < 2; kill++) {
        await new Promise((resolve) => setTimeout(resolve, 3000));
        await running.stop('SIGKILL');
        await new Promise((resolve) => setTimeout(resolve, 1500));
        running = await start('recover', '--resume', session);
      }
      await guest.expect('wrote-all');
      await guest.expect('ready# ');
      await guest.shell('sync; echo 3 > /proc/sys/vm/drop_caches');
      match(
        await guest.shell("md5sum -c --quiet /root/sums && echo sums''-right"),
        /sums-right/,
        'what was answered outlives the process that answered',
      );
      const errors = await guest.shell('dmesg | grep -c "I/O error" ; true');
      match(errors, /^\s*0\s*$/);
      await guest.powerOff();
      await running.stop('SIGINT');
      await expectDone(holdfast('session', 'discard', session));
    },
  );

  await t.test('the recovery point is as it was', async () => {
    const out = join(root, 'out.raw');
    await expectDone(holdfast('restore', 'disk', first, 'vda', '--to', out));
    match(
      await program('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', out, 'var/demo-vm.raw'),
      /identical/,
    );
    const checked = await expectDone(holdfast('store', 'check', '--read-data'));
    equal((checked.result['problems'] as unknown[]).length, 0);
  });
});
