import { deepEqual, equal, match, notEqual } from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { jobFile, scheduleFile } from '../../src/formats/store/service/job.ts';
import { decodeSession, encodeSession } from '../../src/formats/store/sessions/session.ts';
import { expectDone, runCli } from '../support/cli.ts';
import {
  alterSet,
  plantJob,
  plantSchedule,
  plantSession,
  withoutSlots,
} from '../support/planted.ts';
import { alarmed, serviceHome } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// A3, A4: an attacker has the disk of the store, and no key.

const root = temporaryDirectory();
const SIZE = 256 * 1024;
/** The same for each test: what a box remembers says where it was. */
const directory = join(root, 'place');
const FILLED = join(root, 'filled');

function fixture() {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const image = join(directory, 'vda.raw');
  writeFileSync(image, Buffer.alloc(SIZE, 'marker of the guest '));
  const home = serviceHome(directory);
  const at = (box: string) => ({ HOLDFAST_STATE: join(directory, box) });
  const secret = ['--passphrase-file', home.passphrase];
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  return {
    ...{ home, image, secret, disk },
    start: (box = 'box', more: Record<string, string> = {}) =>
      home.run({ environment: { ...at(box), ...more } }),
  };
}

/** A store with an encrypted set `nightly`, a plain one, and a recovery point of `vm`; its service was stopped. */
async function filled() {
  const it = fixture();
  if (existsSync(FILLED)) {
    cpSync(FILLED, directory, { recursive: true });
    return it;
  }
  const { start, secret, disk } = it;
  const { holdfast } = it.home;
  await using service = await start();
  await expectDone(holdfast('store', 'create'));
  await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...secret));
  await expectDone(holdfast('set', 'create', 'plain'));
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  await service.stop('SIGTERM');
  cpSync(directory, FILLED, { recursive: true });
  return it;
}

async function alarms(holdfast: ReturnType<typeof fixture>['home']['holdfast']): Promise<string> {
  return JSON.stringify((await expectDone(holdfast('alarm', 'list'))).result);
}

test('an order that an attacker altered while the service was off is not obeyed', async () => {
  const { home, start, image } = await filled();
  const { holdfast, store } = home;
  let session: string;
  {
    await using service = await start();
    session = (await expectDone(holdfast('recover', 'vm@latest', '--detach'))).result[
      'session'
    ] as string;
    const every = ['--at', '*-01-01', '--backup', 'nightly', '--machine', 'vm'];
    await expectDone(holdfast('schedule', 'create', 'daily', ...every, '--disk', `vda=${image}`));
    await expectDone(holdfast('lockdown', 'on'));
    await service.stop('SIGTERM');
  }
  const journal = join(store, 'sessions', session, 'session.json');
  const record = decodeSession(readFileSync(journal));
  const nfs = {
    ...{ host: '0.0.0.0', ports: { nfs: 0, mount: 0, portmap: 0 }, allow: ['0.0.0.0/0'] },
    ...{ readOnly: true, squash: 'none' as const, privilegedPorts: false, points: true },
  } as const;
  writeFileSync(journal, encodeSession({ ...record, listen: 'tcp:0.0.0.0:0', nfs }));
  const daily = join(store, 'schedules', 'daily.json');
  const schedule = scheduleFile.decode(readFileSync(daily));
  const disks = [{ name: 'vda', where: '/etc/hostname' }];
  const request = { ...schedule.request, set: 'plain', disks };
  writeFileSync(daily, scheduleFile.encode({ ...schedule, at: '*:*:*', request }, 'checked'));
  rmSync(join(store, 'lockdown.json'));
  // One that no service could ever have made.
  plantSession(store, { point: record.point, nfs: { ...nfs, allow: ['nonsense'] } });

  await using service = await start();
  const shown = (await expectDone(holdfast('session', 'show', session))).result;
  deepEqual([shown['state'], shown['adopted']], ['ready', false]);
  deepEqual((await expectDone(holdfast('export', 'list'))).result['exports'], []);
  equal(((await expectDone(holdfast('session', 'list'))).result['sessions'] as []).length, 2);
  await alarmed(holdfast, /store-not-adopted.*the box did not give these orders.*store adopt/);
  const { notAdopted } = (await expectDone(holdfast('service', 'show'))).result as {
    notAdopted: string[];
  };
  equal(notAdopted.length, 3);
  match(notAdopted.join('\n'), /session .* at tcp:0\.0\.0\.0:0 without TLS, NFS for 0\.0\.0\.0\/0/);
  match(notAdopted.join('\n'), /schedule daily \(backup, \*:\*:\*\)/);
  equal(readdirSync(join(store, 'sets/plain/points')).length, 0);
  equal((await expectDone(holdfast('lockdown', 'show'))).result['on'], true);
  match((await holdfast('backup', 'forget', record.point)).stderr, /lockdown is on/);
  await service.stop('SIGTERM');
});

test('a job that has ended and is put back as waiting does not run again', async () => {
  const { home, start, disk } = await filled();
  const { holdfast, store } = home;
  let old: Buffer;
  {
    await using service = await start();
    // Waits: its set has no key.
    const words = ['backup', 'create', 'nightly', ...disk, '--queue'];
    const { result } = await expectDone(holdfast(...words));
    const job = result['job'] as string;
    await expectDone(holdfast('job', 'attend', job));
    old = readFileSync(join(store, 'jobs', `${job}.json`));
    equal(jobFile.decode(old).state, 'done');
    await service.stop('SIGTERM');
  }
  const points = (): number => readdirSync(join(store, 'sets/nightly/points')).length;
  const before = points();
  const record = jobFile.decode(old);
  plantJob(store, { ...record, state: 'waiting', ended: undefined, result: undefined });
  await using service = await start();
  await alarmed(holdfast, /store-not-adopted/);
  equal(points(), before);
  await service.stop('SIGTERM');
});

test('an encrypted set without slots is refused by every command, though no key is given', async () => {
  const { home, start, disk } = await filled();
  const { holdfast, store } = home;
  const here = async (...words: string[]) => runCli([...words, '--store', store, '--json']);
  const empty = join(directory, 'empty');
  mkdirSync(empty);
  const known = process.env['HOLDFAST_STATE'];
  // As a user of this machine knows the set who has used it once.
  process.env['HOLDFAST_STATE'] = join(directory, 'box');
  const undo = alterSet(store, 'nightly', withoutSlots);
  const commands = [
    ['backup', 'create', 'nightly', ...disk],
    ['backup', 'retain', 'nightly', '--keep-last', '1'],
    ['restore', 'disk', 'vm@latest', 'vda', '--to', join(directory, 'out.raw')],
    ['recover', 'vm@latest'],
    ['mount', empty, '--set', 'nightly'],
    ['files', 'list', 'vm@latest', 'vda'],
    ['store', 'cat', 'point', 'vm@latest'],
    ['store', 'check'],
  ];
  for (const words of commands) {
    const refused = await here(...words);
    equal(refused.code, 6, `${words.join(' ')}: ${refused.stdout}${refused.stderr}`);
    match(refused.stdout + refused.stderr, /was encrypted when this box last used it/);
  }
  const sets = (await expectDone(here('set', 'list'))).result['sets'] as { problem: string }[];
  match(sets[0]!.problem, /now claims not to be encrypted.*store adopt/);
  equal(existsSync(join(directory, 'out.raw')), false);
  process.env['HOLDFAST_STATE'] = known;
  await using service = await start();
  for (const words of commands.slice(0, 3)) {
    const refused = await holdfast(...words);
    equal(refused.code, 6, `${words.join(' ')}: ${refused.stderr}`);
  }
  match((await holdfast('recover', 'vm@latest', '--detach')).stderr, /was encrypted when/);
  undo();
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  await service.stop('SIGTERM');
});

test('a store that says it is of an earlier release than it was is refused, until it is adopted', async () => {
  const { home, start, disk } = await filled();
  const { holdfast, store } = home;
  // As the release of 22 November wrote it: records without checksums, and points without predecessors, are believed.
  const path = join(store, 'holdfast-store.json');
  const { id, created } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  writeFileSync(path, JSON.stringify({ format: 'holdfast-store', version: 1, id, created }));
  rmSync(join(store, 'holdfast-store.copy.json'));
  await using service = await start();
  const refused = await holdfast('backup', 'create', 'nightly', ...disk);
  equal(refused.code, 6, refused.stderr);
  match(
    refused.stderr,
    /had the feature "checked-records".*holdfast-store\.copy\.json from a copy/,
  );
  match(
    (await holdfast('store', 'adopt')).stdout,
    /"lost":\["checked-records","placed-session","point-chain","sealed-overlay"\]/,
  );
  await alarmed(holdfast, /store-not-adopted.*had the feature \\"point-chain\\"/);
  await expectDone(holdfast('store', 'adopt', '--yes'));
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  await service.stop('SIGTERM');
});

test('two sets whose directories are swapped are refused, whatever their records say', async () => {
  const { home, start, secret, disk } = await filled();
  const { holdfast, store } = home;
  {
    await using service = await start();
    await expectDone(holdfast('set', 'create', 'weekly', '--encrypt', ...secret));
    await expectDone(holdfast('backup', 'create', 'weekly', ...disk, ...secret));
    await service.stop('SIGTERM');
  }
  const sets = join(store, 'sets');
  renameSync(join(sets, 'nightly'), join(sets, 'x'));
  renameSync(join(sets, 'weekly'), join(sets, 'nightly'));
  renameSync(join(sets, 'x'), join(sets, 'weekly'));
  const restore = (box: string) => {
    process.env['HOLDFAST_STATE'] = join(directory, box);
    const to = ['--to', join(directory, 'out.raw'), '--store', store];
    return runCli(['restore', 'disk', point!, 'vda', ...to, ...secret]);
  };
  const [file] = readdirSync(join(sets, 'nightly/points'));
  const point = file?.replace('.point', '');
  const known = process.env['HOLDFAST_STATE'];
  match((await restore('box')).stderr, /is the record of set "weekly"/);
  for (const name of ['nightly', 'weekly']) alterSet(store, name, (it) => ({ ...it, name }));
  const refused = await restore('box');
  equal(refused.code, 6);
  match(refused.stderr, /was encrypted when this box last used it, and has another key now/);
  // Another box, and one passphrase opens both: the points are bound to the name of their set.
  const stranger = await restore('another');
  equal(stranger.code, 6, stranger.stderr);
  equal(existsSync(join(directory, 'out.raw')), false);
  process.env['HOLDFAST_STATE'] = known;
});

test('the first start with a memory adopts what the release before has left, once, and says what', async () => {
  const { home, start } = await filled();
  const { holdfast, store } = home;
  let session: string;
  renameSync(join(directory, 'box'), join(directory, 'before'));
  {
    await using service = await start('before');
    session = (await expectDone(holdfast('recover', 'vm@latest', '--detach'))).result[
      'session'
    ] as string;
    await service.stop('SIGTERM');
  }
  // As a release without a memory leaves it.
  rmSync(join(store, 'box.json'));
  const state = join(directory, 'state');
  mkdirSync(state);
  writeFileSync(join(state, 'tokens.json'), 'those of before');
  const environment = { STATE_DIRECTORY: `${state}:${join(directory, 'box')}` };
  const stateOf = async (id: string) =>
    (await expectDone(holdfast('session', 'show', id))).result['state'];
  {
    await using service = await start('box', environment);
    equal(await stateOf(session), 'running');
    await alarmed(
      holdfast,
      new RegExp(`store-adopted.*session ${session} \\(starts automatically`),
    );
    const { result } = await expectDone(holdfast('audit', 'show'));
    match(JSON.stringify(result), new RegExp(`store/adopt.*session ${session}`));
    equal(readFileSync(join(directory, 'box/tokens.json'), 'utf8'), 'those of before');
    await service.stop('SIGTERM');
  }
  rmSync(join(directory, 'box/tokens.json'));
  rmSync(join(store, 'box.json'));
  plantSession(store, { id: 'vm-bad000' });
  await using service = await start('box', environment);
  notEqual(await stateOf(session), 'running');
  await alarmed(holdfast, /store-not-adopted.*vm-bad000/);
  equal(existsSync(join(directory, 'box/tokens.json')), false);
  await service.stop('SIGTERM');
});

test('what makes no sense keeps nothing else from its service, also once it is adopted', async () => {
  const { home, start } = fixture();
  const { holdfast, store } = home;
  {
    await using service = await start();
    await expectDone(holdfast('store', 'create'));
    await service.stop('SIGTERM');
  }
  const nfs = {
    ...{ host: 'nowhere', ports: { nfs: 0, mount: 0, portmap: 0 }, allow: ['nonsense'] },
    ...{ readOnly: true, squash: 'none' as const, privilegedPorts: false, points: true },
  };
  plantSession(store, { set: 'nowhere', listen: 'nonsense', phase: 'ready', nfs });
  plantJob(store, { kind: 'backup', request: { disks: 'x' } });
  plantSchedule(store, { kind: 'backup', request: {} });
  {
    await using service = await start();
    await expectDone(holdfast('store', 'adopt', '--yes'));
    await service.stop('SIGTERM');
  }
  await using service = await start();
  for (const what of ['session', 'job', 'schedule']) await expectDone(holdfast(what, 'list'));
  await alarmed(holdfast, /job evil\S* has failed/);
  await alarmed(holdfast, /session vm-bad000 cannot continue/);
  await service.stop('SIGTERM');
});

test('a store that comes from another box is shown and not obeyed, there and when it comes back', async () => {
  const { home, start } = await filled();
  const { holdfast, store } = home;
  const stateOf = async () =>
    ((await expectDone(holdfast('session', 'list'))).result['sessions'] as { state: string }[])[0]!
      .state;
  {
    await using service = await start('box');
    await expectDone(holdfast('recover', 'vm@latest', '--detach'));
    await service.stop('SIGTERM');
  }
  cpSync(store, join(directory, 'copy'), { recursive: true });
  {
    await using service = await start('other');
    equal(await stateOf(), 'ready');
    await alarmed(holdfast, /store-not-adopted/);
    await expectDone(holdfast('store', 'adopt', '--yes'));
    equal(await stateOf(), 'running');
    await until(
      'the alarm ends',
      async () => !(await alarms(holdfast)).includes('"store-not-adopted"'),
    );
    await service.stop('SIGTERM');
  }
  {
    await using service = await start('box');
    equal(await stateOf(), 'ready');
    match(service.log(), /was away: its orders wait to be adopted/);
    await expectDone(holdfast('store', 'adopt', '--yes'));
    equal(await stateOf(), 'running');
    await service.stop('SIGTERM');
  }
  // A copy of before.
  rmSync(store, { recursive: true });
  renameSync(join(directory, 'copy'), store);
  await using service = await start('box');
  equal(await stateOf(), 'ready');
  await service.stop('SIGTERM');
});
