import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { noise } from '../support/random.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const MiB = 2 ** 20;
const CLI = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 24 * MiB, 50);
const home = serviceHome(root);
const { holdfast } = home;
const large = join(root, 'large.raw');

interface Shown {
  readonly job: string;
  readonly state: string;
  readonly reason: string | null;
  readonly result: Record<string, unknown> | null;
}

const backUp = (machine: string, disk: string, ...more: string[]) =>
  holdfast('backup', 'create', 'nightly', '--machine', machine, '--disk', `vda=${disk}`, ...more);
const jobs = async (): Promise<Shown[]> =>
  (await expectDone(holdfast('job', 'list'))).result['jobs'] as Shown[];
const pointsOf = async (machine: string): Promise<string[]> => {
  const { result } = await expectDone(holdfast('backup', 'list', '--machine', machine));
  return (result['points'] as { point: string }[]).map(({ point }) => point);
};

test('a job backs up, retains, checks or keeps, and says how it ended, also if it was canceled', async () => {
  await using service = await serviceWith(home, image);
  const queued = await expectDone(backUp('vm', image, '--queue', '--keep-last', '1'));
  const { job } = queued.result as unknown as Shown;
  const done = await expectDone(holdfast('job', 'attend', job));
  const { result } = done.result as unknown as Shown;
  equal((result!['retained'] as { forgotten: string[] }).forgotten.length, 1);
  deepEqual(await pointsOf('vm'), [result!['point']]);

  const check = await expectDone(holdfast('store', 'check', '--read-data', '--queue'));
  const checked = await expectDone(holdfast('job', 'attend', check.result['job'] as string));
  deepEqual((checked.result['result'] as { problems: unknown[] }).problems, []);
  deepEqual((checked.result['result'] as { locked: unknown[] }).locked, [], 'the service has keys');

  // While the session runs the job waits, and says for what.
  const running = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const session = running.result['session'] as string;
  const keep = await expectDone(holdfast('session', 'keep', session, '--queue'));
  const id = keep.result['job'] as string;
  await service.logged(new RegExp(`${id} is waiting: session ${session} is in use by`));
  await expectDone(holdfast('session', 'stop', session));
  service.signal('SIGHUP');
  const kept = await expectDone(holdfast('job', 'attend', id));
  const point = (kept.result['result'] as { point: string }).point;
  deepEqual((await pointsOf('vm')).length, 2);
  const dry = await expectDone(holdfast('backup', 'retain', 'nightly', '--keep-last', '1'));
  deepEqual(dry.result['forgotten'], [], 'a session that was kept is no backup');
  ok((await pointsOf('vm')).includes(point));

  // It copies the recovery point while the session runs, and waits for its end.
  const again = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const ending = again.result['session'] as string;
  const to = join(root, 'finalized.raw');
  const target = ['--disk', `vda=${to}`];
  const words = ['session', 'finalize', ending, ...target, '--while-running', '--queue'];
  equal((await holdfast('session', 'finalize', ending, '--queue')).code, 1, 'where to?');
  const finalize = await expectDone(holdfast(...words));
  const finalizing = finalize.result['job'] as string;
  await until('the copy', async () =>
    (await holdfast('job', 'log', finalizing)).stdout.includes('the recovery point is copied'),
  );
  await expectDone(holdfast('session', 'stop', ending));
  await expectDone(holdfast('job', 'attend', finalizing));
  deepEqual(readFileSync(to), readFileSync(image));
  equal((await holdfast('session', 'show', ending)).code, 5);

  equal((await backUp('x', join(root, 'nothing'), '--queue')).code, 5);
  const gone = await expectDone(backUp('x', 'nbd://127.0.0.1:1/nothing', '--queue'));
  await service.logged(/is waiting: .*127\.0\.0\.1:1/);
  const failing = gone.result['job'] as string;
  equal((await expectDone(holdfast('job', 'cancel', failing))).result['state'], 'canceled');
  equal((await holdfast('job', 'attend', failing)).code, 1);
  equal((await holdfast('job', 'cancel', failing)).code, 1);
  equal((await holdfast('job', 'show', 'nothing')).code, 5);
  match((await expectDone(holdfast('job', 'log', failing))).stdout, /canceled/);
  equal((await backUp('x', image, '--keep-last', '1')).code, 2, 'without --queue');
  equal((await holdfast('backup', 'retain', 'nightly', '--keep-last', '0')).code, 2);
  equal((await backUp('x', image, '--queue', '--keep-daily', '0')).code, 2);
  equal(await service.stop('SIGTERM'), 0);
  ok(!service.log().includes('correct horse'));
});

test('a restore in the background is of the point that was the newest when it was asked for', async () => {
  await using service = await home.run();
  const to = join(root, 'restored.raw');
  const restore = (...more: string[]) =>
    holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', to, '--queue', ...more);
  const newest = (await pointsOf('vm')).at(-1);
  const { result } = await expectDone(restore());
  const shown = await expectDone(holdfast('job', 'attend', result['job'] as string));
  const done = shown.result as unknown as Shown & { request: Record<string, unknown> };
  const point = `nightly/${newest}`;
  deepEqual([done.state, done.request['point'], done.result!['to']], ['done', point, to]);
  ok(readFileSync(to).equals(readFileSync(image)));
  const before = (await jobs()).length;
  const again = await restore();
  equal(again.code, 1);
  match(again.stderr, /restored\.raw exists: .*--overwrite/);
  match((await restore('--format', 'qcow2', '--overwrite')).stderr, /is named like raw/);
  equal((await holdfast('restore', 'disk', 'vm@latest', 'vdz', '--to', 'x', '--queue')).code, 5);
  equal((await jobs()).length, before, 'what cannot be is refused when it is asked for');
  const over = await expectDone(restore('--overwrite'));
  await expectDone(holdfast('job', 'attend', over.result['job'] as string));
  equal(await service.stop('SIGTERM'), 0);
});

test('clients that follow the service get its events', async () => {
  await using _service = await home.run();
  const child = spawn(process.execPath, [
    CLI,
    'service',
    'follow',
    '--socket',
    home.socket,
    '--json',
  ]);
  let heard = '';
  child.stdout.on('data', (text: Buffer) => (heard += text.toString()));
  const hears = (what: RegExp): Promise<void> => until(what.source, () => what.test(heard));
  // Nothing says when a follower has come: from the first event that it hears, it hears all.
  await until('an event that the follower hears', async () => {
    await expectDone(holdfast('store', 'check', '--queue'));
    return heard !== '';
  });
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const session = result['session'] as string;
  await expectDone(holdfast('session', 'stop', session));
  await hears(new RegExp(`"session":"${session}","what":"started"[^]*"what":"stopped"`));
  await expectDone(holdfast('session', 'discard', session));
  const queued = await expectDone(holdfast('store', 'check', '--queue'));
  await hears(new RegExp(`"job":"${queued.result['job'] as string}","state":"done"`));
  child.kill('SIGINT');
  deepEqual(await once(child, 'exit'), [0, null]);
});

/** How the last job of each schedule has ended. */
async function lastsOf(): Promise<Record<string, (Shown & { ended: string }) | null>> {
  const { result } = await expectDone(holdfast('schedule', 'list'));
  const listed = result['schedules'] as { schedule: string; last: Shown & { ended: string } }[];
  return Object.fromEntries(listed.map(({ schedule, last }) => [schedule, last]));
}

test('a schedule makes jobs, and is there after a restart', async () => {
  {
    await using service = await home.run();
    const what = ['--backup', 'nightly', '--machine', 'often', '--disk', `vda=${image}`];
    const at = ['schedule', 'create', 'often', '--at'];
    equal((await holdfast(...at, 'sometimes', ...what)).code, 2);
    equal((await holdfast(...at, 'daily')).code, 2);
    await expectDone(holdfast(...at, '*:*:0/2', ...what, '--keep-last', '2'));
    equal((await holdfast(...at, 'daily', ...what)).code, 1, 'there is one');
    await service.logged(/job often-\w+ is done/);
    await service.stop('SIGKILL');
  }
  await using service = await home.run();
  await service.logged(/(job often-\w+ is done[^]*){3}/);
  const lasts = await lastsOf();
  const ids = (await jobs()).filter(({ state }) => state === 'done').map(({ job }) => job);
  deepEqual([lasts['often']?.state, lasts['often']?.reason], ['done', null]);
  ok(ids.includes(lasts['often']!.job), 'it is one of its jobs');
  await expectDone(holdfast('schedule', 'create', 'never-yet', '--at', 'yearly', '--check'));
  deepEqual((await lastsOf())['never-yet'], null);
  await expectDone(holdfast('schedule', 'remove', 'never-yet'));
  await expectDone(holdfast('schedule', 'remove', 'often'));
  equal((await holdfast('schedule', 'remove', 'often')).code, 5);
  deepEqual((await expectDone(holdfast('schedule', 'list'))).result['schedules'], []);
  // The jobs that it has made go on: until the last has ended, a point that is to be forgotten may still be there.
  for (const { job } of await jobs()) await holdfast('job', 'attend', job);
  equal((await pointsOf('often')).length, 2);
});

test('a schedule is run now, whatever its times are', async () => {
  await using _service = await home.run();
  await expectDone(holdfast('schedule', 'create', 'yearly', '--at', 'yearly', '--check'));
  const { result } = await expectDone(holdfast('schedule', 'run', 'yearly'));
  const { job, schedule } = result as unknown as Shown & { readonly schedule: string };
  equal(schedule, 'yearly');
  await expectDone(holdfast('job', 'attend', job));
  equal((await lastsOf())['yearly']?.job, job);
  equal((await holdfast('schedule', 'run', 'monthly')).code, 5);
  await expectDone(holdfast('schedule', 'remove', 'yearly'));
});

/** The processes that do what the service's jobs are. */
function workersOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}

/** Once there are some. */
async function working(pid: number): Promise<number[]> {
  let workers: number[] = [];
  await until('a process that works for the service', () => {
    workers = workersOf(pid);
    return workers.length > 0;
  });
  return workers;
}

test('what takes long runs apart: if its process dies nothing else does, and it is tried again', async () => {
  writeFileSync(large, noise(96 * MiB, 3));
  await using service = await home.run();
  const started = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const [{ uri }] = started.result['exports'] as [{ uri: string }];
  await using disk = await openNbdDisk(uri);
  const queued = await expectDone(backUp('large', large, '--queue'));
  const id = queued.result['job'] as string;
  for (const worker of await working(service.pid)) process.kill(worker, 'SIGKILL');
  await service.logged(
    new RegExp(`${id} is waiting: the process of this operation ended: SIGKILL`),
  );
  await disk.read(new Uint8Array(4096), 0);
  service.signal('SIGHUP');
  equal((await expectDone(holdfast('job', 'attend', id))).result['state'], 'done');

  // Canceled in the middle: it ends soon, and leaves nothing half done.
  const second = await expectDone(holdfast('store', 'check', '--read-data', '--queue'));
  const check = second.result['job'] as string;
  await working(service.pid);
  await holdfast('job', 'cancel', check);
  const canceled = await holdfast('job', 'attend', check);
  match(canceled.result['message'] as string, /(was canceled|is done)$/);
  equal(workersOf(service.pid).length, 0);
  const { session } = started.result as { session: string };
  await expectDone(holdfast('session', 'stop', session));
  await expectDone(holdfast('session', 'discard', session));
});
