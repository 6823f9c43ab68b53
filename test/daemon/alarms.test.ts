import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import type { AlarmSummary } from '../../src/operations/nouns/alarm.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 4 * 2 ** 20, 10);
const home = serviceHome(root);
const { holdfast } = home;
/** Whatever the disk is like that the tests run on. */
const quiet = { poolWarningPercent: 100, poolCriticalPercent: 100 };
const settings = { passphraseFiles: { nightly: home.passphrase }, alarms: quiet };

async function alarms(...more: string[]): Promise<AlarmSummary[]> {
  const { result } = await expectDone(holdfast('alarm', 'list', ...more));
  return result['alarms'] as AlarmSummary[];
}

const ids = async (): Promise<string[]> => (await alarms()).map(({ alarm }) => alarm).sort();

async function metrics(): Promise<string> {
  const asked = request({ socketPath: home.socket, path: '/metrics' }).end();
  const [answer] = (await once(asked, 'response')) as [NodeJS.ReadableStream];
  let text = '';
  for await (const part of answer) text += String(part);
  return text;
}

test('an alarm is raised, sent by webhook and mail, acknowledged by a person, and over', async () => {
  const heard: Record<string, string>[] = [];
  let status = 503;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      if (status === 200) heard.push(JSON.parse(body) as Record<string, string>);
      response.writeHead(status).end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const sendmail = join(root, 'sendmail');
  const box = join(root, 'mail');
  writeFileSync(sendmail, `#!/bin/sh\ncat >>'${box}'\n`);
  chmodSync(sendmail, 0o755);
  const notify = {
    webhook: `http://127.0.0.1:${port}/T0P-SECRET`,
    webhookSecretFile: home.passphrase,
    mail: { to: ['ops@example.org'], from: 'box@example.org', sendmail },
  };
  const told = (event: string, alarm: string): boolean =>
    heard.some((it) => it['event'] === event && it['alarm'] === alarm);
  home.configure({ ...settings, notify });
  {
    await using service = await serviceWith(home, image);
    deepEqual(await alarms(), []);
    const failed = await holdfast('notify', 'test');
    equal(failed.code, 1);
    match(failed.stderr, /webhook: 127\.0\.0\.1:\d+ answered 503/);
    match(readFileSync(box, 'utf8'), /Subject: Holdfast on .*: a test: /);

    // Any disk is at least that full.
    const limits = { poolWarningPercent: 1, poolCriticalPercent: 100 };
    home.configure({ ...settings, notify, alarms: limits });
    service.signal('SIGHUP');
    await until('pool-space', async () => (await ids()).includes('pool-space'));
    await service.stop('SIGKILL');
    for (const text of [service.log(), JSON.stringify(failed)]) ok(!/T0P|correct horse/.test(text));
  }
  // What could not be told is told by the next process, which finds that the alarm stands already.
  status = 200;
  await using service = await home.run();
  service.signal('SIGHUP');
  await until('told', () => told('raised', 'pool-space'));
  deepEqual(await ids(), ['pool-space']);
  const shown = await expectDone(holdfast('service', 'show'));
  const none = { critical: 0, acknowledged: 0 };
  deepEqual(shown.result['alarms'], { ...none, warning: 1, untold: 0 });
  ok(!JSON.stringify(shown.result).includes('T0P'));
  match(
    await metrics(),
    /holdfast_alarm\{alarm="pool-space",kind="pool-space",level="warning"\} 1\n/,
  );

  const done = await expectDone(holdfast('alarm', 'acknowledge', 'pool-space'));
  equal((done.result as unknown as AlarmSummary).acknowledged?.uid, process.getuid!());
  match(await metrics(), /holdfast_alarm\{alarm="pool-space".*\} 0\n/);
  const audit = await expectDone(holdfast('audit', 'show', '--last', '2'));
  deepEqual(
    (audit.result['entries'] as { what: string; outcome: string }[]).map(
      ({ what, outcome }) => `${what} ${outcome}`,
    ),
    ['alarm/acknowledge begun', 'alarm/acknowledge done'],
  );
  equal((await holdfast('alarm', 'acknowledge', 'nothing')).code, 5);
  home.configure({ ...settings, notify });
  service.signal('SIGHUP');
  await until('over', async () => (await alarms()).length === 0);
  await until('told', () => told('ended', 'pool-space'));
  equal((await alarms('--all'))[0]!.alarm, 'pool-space');
  equal(heard.filter((it) => it['alarm'] === 'pool-space').length, 2, 'once each');
  equal(await service.stop('SIGTERM'), 0);
  server.close();
  home.configure(settings);
});

test('damage, failed jobs and sessions that cannot go on are alarms until they are mended', async () => {
  await using service = await home.run();
  const packs = join(home.store, 'packs');
  const pack = readdirSync(packs).find((name) => !name.startsWith('.'))!;
  const away = join(root, pack);
  renameSync(join(packs, pack), away);
  const check = await expectDone(holdfast('store', 'check', '--read-data', '--queue'));
  const job = check.result['job'] as string;
  equal((await holdfast('job', 'attend', job)).code, 1);
  const shown = await runCli(['job', 'show', job, '--socket', home.socket]);
  match(shown.stdout, /^DAMAGED vm-.*: pack 2 cannot be opened$/m);
  const both = 'damage:contents damaged-frames';
  await until('damaged-frames', async () => (await ids()).join(' ') === both);
  renameSync(away, join(packs, pack));
  await expectDone(holdfast('store', 'check'));
  // It has read what was marked, and not all that the other had.
  await until('frames are whole', async () => (await ids()).join(' ') === 'damage:contents');
  await expectDone(holdfast('store', 'check', '--read-data'));
  deepEqual(await ids(), []);

  renameSync(join(packs, pack), away);
  const scrub = await expectDone(holdfast('store', 'scrub', '--queue'));
  equal((await holdfast('job', 'attend', scrub.result['job'] as string)).code, 1);
  await until('damaged-frames', async () => (await ids()).join(' ') === both);
  const frames = (await alarms()).find(({ alarm }) => alarm === 'damaged-frames');
  match(frames!.message, /vda \(.* cannot be read\)/);
  renameSync(away, join(packs, pack));
  const whole = await expectDone(runCli(['store', 'scrub', '--socket', home.socket]));
  match(whole.stdout, /^packs read: \d+ .*\n.* decoded, 0 by checksum only\nNo damage found\.$/m);
  await until('frames are whole', async () => (await ids()).length === 0);

  const cut = join(root, 'cut.raw');
  writeFileSync(cut, 'no whole sector');
  const failing = ['backup', 'create', 'nightly', '--machine', 'cut', '--disk', `vda=${cut}`];
  const lost = await expectDone(holdfast(...failing, '--queue'));
  const failed = lost.result['job'] as string;
  equal((await holdfast('job', 'attend', failed)).code, 1);
  await until('job-failed', async () => (await ids()).includes(`job-failed:${failed}`));
  await expectDone(holdfast('alarm', 'acknowledge', `job-failed:${failed}`));
  deepEqual(await ids(), []);

  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const session = result['session'] as string;
  await service.stop('SIGKILL');
  home.configure({ alarms: quiet });
  await using again = await home.run();
  await until('session-waits', async () => (await ids()).includes(`session-waits:${session}`));
  equal((await alarms())[0]!.level, 'critical');
  home.configure(settings);
  again.signal('SIGHUP');
  await until('over', async () => (await alarms()).length === 0);
  await expectDone(holdfast('session', 'stop', session));
  await expectDone(holdfast('session', 'discard', session));
});

test('a clock that jumped forbids deletions, and nothing else, until a person acknowledges it', async () => {
  // The file of the box, not of the store: an attacker with the disk must not set what time it was.
  const file = join(process.env['HOLDFAST_STATE']!, 'clock.json');
  const mark = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const lastWallMs = Date.now() + 400 * 24 * 60 * 60_000;
  const other = { ...mark, bootId: 'another', lastWallMs, sum: undefined };
  writeFileSync(file, JSON.stringify(other));
  const points = async (): Promise<string[]> => {
    const { result } = await expectDone(holdfast('backup', 'list'));
    return (result['points'] as { point: string }[]).map(({ point }) => point);
  };
  const [oldest] = await (async () => {
    await using service = await home.run();
    match(service.log(), /alarm clock-jump: .* 400 days behind/);
    const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
    const queued = ['--queue', '--keep-last', '1'];
    const made = await expectDone(holdfast('backup', 'create', 'nightly', ...disk, ...queued));
    const done = await expectDone(holdfast('job', 'attend', made.result['job'] as string));
    equal((done.result['result'] as { retained: unknown }).retained, null);
    equal((await points()).length, 2, 'backed up, and nothing is forgotten');
    const dry = await expectDone(
      holdfast('backup', 'retain', 'nightly', '--keep-last', '1', '--dry-run'),
    );
    equal((dry.result['forgotten'] as unknown[]).length, 1);
    const refused = await holdfast('backup', 'retain', 'nightly', '--keep-last', '1');
    equal(refused.code, 1);
    match(refused.stderr, /alarm acknowledge clock-jump/);
    equal((await holdfast('backup', 'forget', (await points())[0]!)).code, 1);
    await expectDone(
      holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', join(root, 'out.raw')),
    );
    await service.stop('SIGKILL');
    return [(dry.result['forgotten'] as string[])[0]!];
  })();
  // Without a service as well.
  const alone = await runCli(['backup', 'forget', oldest, '--store', home.store, '--json']);
  equal(alone.code, 1);
  match(alone.stderr, /nothing is forgotten/);
  await using service = await home.run();
  deepEqual(await ids(), ['clock-jump']);
  await expectDone(holdfast('alarm', 'acknowledge', 'clock-jump'));
  await expectDone(holdfast('backup', 'forget', oldest));
  equal((await points()).length, 1);
  equal(await service.stop('SIGTERM'), 0);
});

test('an audit log that was altered is an alarm, also once it is mended', async () => {
  const path = join(home.store, 'audit.log');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('store/create', 'store/creatE'));
  await using service = await home.run();
  await until('audit-broken', async () => (await ids()).includes('audit-broken'));
  writeFileSync(path, text);
  await expectDone(holdfast('audit', 'check'));
  deepEqual(await ids(), ['audit-broken']);
  await expectDone(holdfast('alarm', 'acknowledge', 'audit-broken'));
  deepEqual(await ids(), []);
  equal(await service.stop('SIGTERM'), 0);
});

test('a lockdown leaves what a recovery needs, and survives kill -9', async () => {
  const point = 'vm@latest';
  const refused = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await holdfast(...args);
    equal(code, 8, args.join(' '));
    match(stderr, /lockdown/);
  };
  {
    await using service = await home.run();
    await expectDone(holdfast('lockdown', 'on'));
    await service.stop('SIGKILL');
  }
  {
    await using service = await home.run();
    const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
    await refused('backup', 'forget', point);
    await refused('backup', 'create', 'nightly', ...disk);
    await refused('schedule', 'create', 'x', '--at', 'daily', '--check');
    await refused('set', 'create', 'other');
    await refused('alarm', 'acknowledge', 'x');
    await refused('lockdown', 'on');
    const audit = await expectDone(holdfast('audit', 'show', '--last', '1'));
    const [last] = audit.result['entries'] as { what: string; outcome: string; uid: number }[];
    deepEqual([last!.what, last!.outcome, last!.uid], ['lockdown/on', 'failed', process.getuid!()]);
    service.signal('SIGHUP');
    await service.logged(/settings were not changed: the lockdown is on/);
    const { result } = await expectDone(holdfast('recover', point, '--detach'));
    const session = result['session'] as string;
    await refused('session', 'discard', session);
    await expectDone(holdfast('session', 'stop', session));
    await expectDone(holdfast('session', 'keep', session));
    await expectDone(holdfast('store', 'check', '--read-data'));
    ok((await expectDone(holdfast('service', 'show'))).result['lockdown'] !== null);
    match(await metrics(), /holdfast_lockdown 1\n/);
    await service.stop('SIGTERM');
  }
  const alone = await runCli(['backup', 'forget', point, '--store', home.store, '--json']);
  match(alone.stderr, /while the lockdown is on/);
  await using service = await home.run();
  equal((await expectDone(holdfast('lockdown', 'off'))).result['on'], false);
  const { result } = await expectDone(holdfast('backup', 'list'));
  const [oldest] = result['points'] as { point: string }[];
  await expectDone(holdfast('backup', 'forget', oldest!.point));
  equal(await service.stop('SIGTERM'), 0);
});
