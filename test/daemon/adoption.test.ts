import { equal, match, notEqual } from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { decodeSession, encodeSession } from '../../src/formats/store/sessions/session.ts';
import { expectDone } from '../support/cli.ts';
import {
  alterSet,
  plantJob,
  plantSchedule,
  plantSession,
  withoutSlots,
} from '../support/planted.ts';
import { alarmed, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();

function fixture(name: string) {
  const directory = join(root, name);
  mkdirSync(directory);
  const image = join(directory, 'vda.raw');
  writeFileSync(image, Buffer.alloc(256 * 1024, 'marker of the guest '));
  return { home: serviceHome(directory), image, box: { HOLDFAST_STATE: join(directory, 'box') } };
}

// A4
test('orders that an attacker wrote into the store are shown, and obeyed only if an administrator agrees', async () => {
  const { home, image, box } = fixture('orders');
  const { holdfast, store } = home;
  {
    await using service = await home.run({ environment: box });
    await expectDone(holdfast('store', 'create'));
    await expectDone(
      holdfast('set', 'create', 'nightly', '--encrypt', '--passphrase-file', home.passphrase),
    );
    await expectDone(holdfast('set', 'create', 'plain'));
    await expectDone(
      holdfast('backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`),
    );
    await service.stop('SIGTERM');
  }
  const points = readdirSync(join(store, 'sets/nightly/points'));
  const point = points.find((it) => it.endsWith('.point'))!.replace('.point', '');
  plantSession(store, { point, disks: [{ name: 'vda', size: 256 * 1024 }] });
  const request = {
    ...{ set: 'plain', machine: 'stolen', format: 'raw' },
    disks: [{ name: 'vda', where: image }],
  };
  plantJob(store, { kind: 'backup', request });
  plantSchedule(store, { kind: 'backup', request });
  await using service = await home.run({ environment: box });
  const lists = async () => ({
    sessions: (await expectDone(holdfast('session', 'list'))).result['sessions'] as {
      adopted: boolean;
      state: string;
    }[],
    jobs: (await expectDone(holdfast('job', 'list'))).result['jobs'] as {
      adopted: boolean;
      state: string;
      job: string;
    }[],
    schedules: (await expectDone(holdfast('schedule', 'list'))).result['schedules'] as {
      adopted: boolean;
    }[],
  });
  const before = await lists();
  equal(before.sessions[0]!.adopted, false);
  equal(before.sessions[0]!.state, 'preparing');
  equal(before.jobs.length, 1);
  equal(before.jobs[0]!.adopted, false);
  equal(before.schedules[0]!.adopted, false);
  await alarmed(holdfast, /store-not-adopted.*vm-bad000.*job evil.*schedule evil/);
  equal(readdirSync(join(store, 'sets/plain/points')).length, 0);
  match((await holdfast('session', 'resume', 'vm-bad000')).stderr, /store adopt/);
  const shown = await expectDone(holdfast('store', 'adopt'));
  equal(shown.result['adopted'], false);
  equal((await expectDone(holdfast('store', 'adopt', '--yes'))).result['adopted'], true);
  equal((await lists()).sessions[0]!.state, 'running');
  // Its own orders go on after a restart.
  await service.stop('SIGTERM');
  await using again = await home.run({ environment: box });
  equal((await lists()).sessions[0]!.state, 'running');
  await expectDone(holdfast('session', 'stop', 'vm-bad000'));
  await again.stop('SIGTERM');
});

test('an old record of a session that was stopped is not obeyed, nor is one that was altered', async () => {
  const { home, image, box } = fixture('replay');
  const { holdfast, store } = home;
  let id: string;
  {
    await using service = await home.run({ environment: box });
    await expectDone(holdfast('store', 'create'));
    await expectDone(
      holdfast('set', 'create', 'nightly', '--encrypt', '--passphrase-file', home.passphrase),
    );
    await expectDone(
      holdfast('backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`),
    );
    id = (await expectDone(holdfast('recover', 'vm@latest', '--detach'))).result[
      'session'
    ] as string;
    const served = join(store, 'sessions', id, 'served.json');
    const old = readFileSync(served);
    await expectDone(holdfast('session', 'stop', id));
    await service.stop('SIGTERM');
    writeFileSync(served, old);
  }
  await using service = await home.run({ environment: box });
  const state = async () => (await expectDone(holdfast('session', 'show', id))).result;
  notEqual((await state())['state'], 'running');
  await expectDone(holdfast('session', 'resume', id));
  equal((await state())['state'], 'running');
  await expectDone(holdfast('session', 'stop', id));
  const journal = join(store, 'sessions', id, 'session.json');
  const record = decodeSession(readFileSync(journal));
  writeFileSync(journal, encodeSession({ ...record, listen: 'tcp:0.0.0.0:0' }));
  match((await holdfast('session', 'resume', id)).stderr, /not adopted/);
  await service.stop('SIGTERM');
});

// A3
test('an encrypted set that says it is not encrypted is refused, and named by check', async () => {
  const { home, image } = fixture('downgrade');
  const service = await serviceWith(home, image);
  await service.stop('SIGTERM');
  alterSet(home.store, 'nightly', withoutSlots);
  await using again = await home.run();
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  const secret = ['--passphrase-file', home.passphrase];
  const refused = await home.holdfast('backup', 'create', 'nightly', ...disk, ...secret);
  equal(refused.code, 6, refused.stderr);
  match(refused.stderr, /was encrypted when this box last used it/);
  const checked = await home.holdfast('store', 'check');
  equal(checked.code, 6);
  match(
    JSON.stringify(checked.result) + checked.stdout,
    /was encrypted when this box last used it/,
  );
  const restored = await home.holdfast(
    'restore',
    'disk',
    'vm@latest',
    'vda',
    '--to',
    join(root, 'o.raw'),
  );
  equal(restored.code, 6);
  await again.stop('SIGTERM');
});

test('a memory that is damaged is not begun again by itself', async () => {
  const { home, image, box } = fixture('damaged');
  const { holdfast } = home;
  {
    await using service = await home.run({ environment: box });
    await expectDone(holdfast('store', 'create'));
    await expectDone(
      holdfast('set', 'create', 'nightly', '--encrypt', '--passphrase-file', home.passphrase),
    );
    await expectDone(
      holdfast('backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`),
    );
    await expectDone(holdfast('recover', 'vm@latest', '--detach'));
    await service.stop('SIGTERM');
  }
  const memory = join(box.HOLDFAST_STATE, 'memory.json');
  const bytes = readFileSync(memory);
  bytes[20]! ^= 1;
  writeFileSync(memory, bytes);
  await using service = await home.run({ environment: box });
  // It is ready before it has looked at everything.
  await alarmed(holdfast, /box-memory/);
  const { sessions } = (await expectDone(holdfast('session', 'list'))).result as {
    sessions: { state: string }[];
  };
  notEqual(sessions[0]!.state, 'running');
  equal((await expectDone(holdfast('recover', 'vm@latest', '--detach'))).code, 0);
  equal(readFileSync(memory).equals(bytes), true);
  const undo = alterSet(home.store, 'nightly', withoutSlots);
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  match(
    (await holdfast('backup', 'create', 'nightly', ...disk)).stderr,
    /not to be encrypted, and this box cannot tell whether it was/,
  );
  undo();
  await expectDone(holdfast('store', 'adopt', '--yes'));
  equal(
    JSON.stringify((await expectDone(holdfast('session', 'list'))).result).split('"running"')
      .length,
    3,
  );
  await service.stop('SIGTERM');
});
