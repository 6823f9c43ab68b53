import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const MiB = 2 ** 20;
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 8 * MiB, 20);
const home = serviceHome(root);
const { holdfast, passphrase } = home;
const right = ['--passphrase-file', passphrase];
const wrong = ['--passphrase-file', join(root, 'wrong')];
writeFileSync(wrong[1]!, 'wrong\n');
const own = join(root, 'own');

const backup = (...more: string[]) =>
  holdfast('backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`, ...more);
const jobCount = async (): Promise<number> =>
  (await expectDone(holdfast('job', 'list'))).result['total'] as number;

interface Alarm {
  readonly alarm: string;
  readonly message: string;
}
/** The alarms of jobs that wait, once there are so many. */
async function waitingAlarms(count: number): Promise<Alarm[]> {
  let found: Alarm[] = [];
  await until(`${count} alarms of jobs`, async () => {
    const { result } = await expectDone(holdfast('alarm', 'list'));
    const all = result['alarms'] as Alarm[];
    found = all.filter(({ alarm }) => alarm.startsWith('job-waits:'));
    return found.length === count;
  });
  return found;
}

// U1, U2, U8
test('the key of a job is asked for when it is made, not in the night', async () => {
  await using _service = await serviceWith(home, image);
  home.configure({});
  _service.signal('SIGHUP');
  await _service.logged(/reloaded: /);
  const none = await backup('--queue');
  deepEqual([none.code, await jobCount()], [2, 0], 'no user answers, and no job waits for ever');
  equal((await backup('--queue', ...wrong)).code, 4);
  const queued = await expectDone(backup('--queue', ...right));
  const done = await expectDone(holdfast('job', 'attend', queued.result['job'] as string));
  equal(done.result['state'], 'done');
  const keyed = ['schedule', 'create', 'web', '--at', 'daily', '--machine', 'vm'];
  const schedule = (set: string, disk: string, ...more: string[]) =>
    holdfast(...keyed, '--backup', set, '--disk', `vda=${disk}`, ...more);
  equal((await schedule('nosuch', image, ...right)).code, 5);
  match((await schedule('nightly', '/nope', ...right)).stderr, /\/nope: there is no such image/);
  equal((await schedule('nightly', image)).code, 2);
  equal((await schedule('nightly', image, ...wrong)).code, 4);
  equal((await schedule('nightly', image, '--passphrase-file', '/nope')).code, 5);
  equal((await holdfast('session', 'keep', 'nothing', '--queue')).code, 5);
  const listed = await expectDone(holdfast('schedule', 'list'));
  deepEqual(listed.result['schedules'], []);
  const made = await expectDone(schedule('nightly', image, ...right));
  match(made.stdout, /kept in memory.*passphraseFiles/);
});

test('a job that waits for a key says so, raises an alarm at once, and takes the key', async () => {
  writeFileSync(own, 'correct horse\n');
  home.configure({ passphraseFiles: { nightly: own } });
  await using service = await home.run();
  const recovered = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const session = recovered.result['session'] as string;
  // While the session runs the job waits.
  const queued = await expectDone(holdfast('session', 'keep', session, '--queue'));
  const job = queued.result['job'] as string;
  await service.logged(new RegExp(`${job} is waiting: session`));
  const shown = async () => (await expectDone(holdfast('job', 'show', job))).result;
  equal((await shown())['needsKeyOf'], null);
  writeFileSync(own, 'another\n');
  await expectDone(holdfast('session', 'stop', session));
  service.signal('SIGHUP');
  const [alarm] = await waitingAlarms(1);
  match(alarm!.message, new RegExp(`not the passphrase.*holdfast job unlock ${job}`));
  equal((await shown())['needsKeyOf'], 'nightly');
  equal((await holdfast('job', 'unlock', job, ...wrong)).code, 4);
  await expectDone(holdfast('job', 'unlock', job, ...right));
  const kept = await expectDone(holdfast('job', 'attend', job));
  ok((kept.result['result'] as { point: string }).point);
  await waitingAlarms(0);
  equal((await holdfast('job', 'unlock', job, ...right)).code, 1, 'it has ended');
  equal(await service.stop('SIGTERM'), 0);
  ok(!service.log().includes('correct horse'));
});
