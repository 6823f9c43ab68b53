import { deepEqual, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const MAIN = new URL('../../src/daemon/main.ts', import.meta.url).pathname;
const root = temporaryDirectory();
const home = serviceHome(root);
const { holdfast } = home;
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 20);
const state = join(root, 'state');
mkdirSync(state);
const environment = { HOLDFAST_STATE: state };
const passphraseFiles = { nightly: home.passphrase };

interface Alarm {
  readonly alarm: string;
  readonly level: string;
  readonly message: string;
}

/** Those that stand, once it is these. */
async function alarms(...wanted: string[]): Promise<Alarm[]> {
  let found: Alarm[] = [];
  await until(`the alarms ${wanted.join()}`, async () => {
    const { result } = await expectDone(holdfast('alarm', 'list'));
    found = result['alarms'] as Alarm[];
    return found.map(({ alarm }) => alarm).join() === wanted.join();
  });
  return found;
}

const typo = (): void => writeFileSync(home.settings, '{\n  "stroe": "/x"\n}');

// U24
test('wrong settings keep no recovery from being served, and an alarm says so', async () => {
  {
    await using service = await serviceWith(home, image);
    await service.stop('SIGTERM');
  }
  {
    await using service = await home.run({ environment });
    const started = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
    typo();
    equal(await service.stop('SIGTERM'), 0);
    equal(typeof started.result['session'], 'string');
  }
  await using service = await home.run({ environment });
  match(service.log(), /last valid ones are in force: .*line 2: stroe: there is no such field/);
  const [alarm] = await alarms('settings');
  equal(alarm!.level, 'critical');
  match(alarm!.message, /line 2: stroe/);
  const { result } = await expectDone(holdfast('session', 'list'));
  const [session] = result['sessions'] as { session: string; state: string }[];
  equal(session!.state, 'running', 'with the passphrase that the last settings name');
  home.configure({ passphraseFiles });
  service.signal('SIGHUP');
  await alarms();
  typo();
  service.signal('SIGHUP');
  await alarms('settings');
  home.configure({ passphraseFiles });
  service.signal('SIGHUP');
  await alarms();
  await expectDone(holdfast('session', 'stop', session!.session));
  equal(statSync(join(state, 'settings.last.json')).mode & 0o077, 0);
  equal(readFileSync(join(state, 'settings.last.json'), 'utf8').includes('stroe'), false);
});

test('settings are checked before they are read', async () => {
  const check = () => {
    const args = [MAIN, '--check', '--config', home.settings];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { status, stderr };
  };
  equal(check().status, 0);
  for (const [settings, message] of [
    [{ stroe: '/x' }, /stroe: there is no such field/],
    [{ nbd: { listen: 'tcp:127.0.0.1:99999' } }, /line \d+: nbd\.listen: .*99999/],
    [
      { nbd: { allow: ['10.0.0.0/33'] } },
      /line \d+: nbd\.allow: "10\.0\.0\.0\/33" is neither an address/,
    ],
    [
      { listen: { address: '127.0.0.1:99999', certificate: '/x', key: '/x' } },
      /line \d+: listen\.address/,
    ],
  ] as const) {
    home.configure(settings);
    const { status, stderr } = check();
    equal(status, 1);
    match(stderr, message);
  }
  home.configure({ passphraseFiles });
});

test('an address that is taken, or a certificate that is missing, is an alarm, and the rest runs', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const listen = { address: '127.0.0.1:0', certificate: '/nope', key: '/nope' };
  const nbd = { listen: `tcp:127.0.0.1:${port}` };
  home.configure({ passphraseFiles, nbd, listen: { ...listen, tokens: join(root, 'tokens') } });
  await using service = await home.run({ environment });
  const found = (await alarms('not-served:listen', 'not-served:nbd')).map(({ message }) => message);
  match(found[0]!, /"listen" of the settings is not served: .*\/nope/);
  match(found[1]!, /"nbd" of the settings is not served/);
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  await expectDone(holdfast('session', 'stop', result['session'] as string));
  taken.close();
  home.configure({ passphraseFiles });
  deepEqual(await service.stop('SIGTERM'), 0);
});
