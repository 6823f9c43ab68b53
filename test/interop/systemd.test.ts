import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { type DebianHost, debianHost, debianHostMissing } from '../support/debian-host.ts';
import { noise } from '../support/random.ts';
import { nfsPortByDatagram, steadyClients } from '../support/steady-clients.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// One machine for the whole file: what is installed in the beginning is removed in the end.

const skip = debianHostMissing;
const INSTALL = `${process.cwd()}/appliance/install`;
const STANDARD_PORTS = { nfs: 2049, mount: 20_048, portmap: 111 };
const UNINSTALL = `${process.cwd()}/appliance/uninstall`;

const host = skip === false ? await debianHost(temporaryDirectory()) : undefined;

const show = async (property: string): Promise<string> =>
  (await host!.run('systemctl', 'show', '-P', property, 'holdfastd.service')).trim();

async function json(command: string, ...args: string[]): Promise<Record<string, unknown>> {
  const out = await host!.run(command, ...args, '--json');
  return JSON.parse(out.trim().split('\n').at(-1)!) as Record<string, unknown>;
}

/** Asks until it is so. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await isSo()) return;
    await sleep(100);
  }
  throw new Error(`never ${what}: ${await journal(host!)}`);
}

const journal = ({ run }: DebianHost): Promise<string> =>
  run('journalctl', '-u', 'holdfastd.service', '-o', 'short-monotonic', '--no-pager');

test('install brings the service to READY, and a second time changes nothing', {
  skip,
}, async () => {
  const out = await host!.run('sh', INSTALL, '--offline');
  match(out, /is installed and runs: no store/);
  match(out, /holdfast store create/);
  match(
    await host!.run('bash', '-c', '. /usr/share/bash-completion/completions/holdfast; complete -p'),
    /complete -F _holdfast holdfast/,
  );
  match(await host!.run('cat', '/usr/share/man/man1/holdfast.1'), /^\.TH HOLDFAST 1 /);
  deepEqual([await show('ActiveState'), await show('SubState')], ['active', 'running']);
  equal(await show('StatusText'), 'no store');
  const { MainPID: pid } = { MainPID: await show('MainPID') };
  await host!.run('sh', INSTALL, '--offline');
  equal(await show('MainPID'), pid, 'it was not started again');
});

test('its hardening keeps the scores that the units promise', { skip }, async () => {
  const { run } = host!;
  for (const [unit, instance, limit] of [
    ['holdfastd.service', 'holdfastd.service', '--threshold=20'],
    ['holdfast-mount@.service', 'holdfast-mount@srv-points.service', '--threshold=50'],
  ] as const) {
    await run('cp', `/usr/lib/systemd/system/${unit}`, `/root/${instance}`);
    const analyze = ['systemd-analyze', 'security', '--no-pager', '--offline=true', limit] as const;
    match(await run(...analyze, `/root/${instance}`), /Overall exposure level/);
  }
});

test('a store, a set and a backup are made through the socket, with the passphrase from a credential', {
  skip,
}, async () => {
  const { run } = host!;
  writeFileSync(host!.path('/etc/credstore/holdfast-passphrase'), 'correct horse\n', {
    mode: 0o600,
  });
  await run('systemctl', 'restart', 'holdfastd.service');
  equal((await json('holdfast', 'store', 'create'))['store'], '/var/lib/holdfast/store');
  equal(await show('StatusText'), '0 sessions run');
  await json(
    ...['holdfast', 'set', 'create', 'nightly', '--encrypt'],
    ...['--passphrase-file', '/etc/credstore/holdfast-passphrase'],
  );
  // An image that only another user may read, as those of hypervisors are.
  writeFileSync(host!.path('/srv/disk.raw'), noise(2 ** 20, 1), { mode: 0o600 });
  const disk = ['--machine', 'vm', '--disk', 'vda=/srv/disk.raw'];
  const made = await json('holdfast', 'backup', 'create', 'nightly', ...disk);
  ok(made['point'] ?? made['id'], JSON.stringify(made));
  const owners = await run('find', '/var/lib/holdfast', '!', '-user', 'holdfast');
  equal(owners, '', "all of the store is the service's own");
  equal((await run('stat', '-c', '%U %a', '/run/holdfast')).trim(), 'root 755');
});

test('who is in holdfast-view may look and not change, in holdfast both, others nothing', {
  skip,
}, async () => {
  const { run, tryRun } = host!;
  await run('useradd', '--groups', 'holdfast-view', 'viewer');
  await run('useradd', '--groups', 'holdfast', 'deputy');
  await run('useradd', 'stranger');
  const as = (user: string, ...words: string[]) =>
    tryRun(
      'setpriv',
      '--reuid',
      user,
      '--regid',
      user,
      '--init-groups',
      '--',
      'env',
      'HOME=/',
      'holdfast',
      ...words,
    );
  equal((await as('viewer', 'backup', 'list')).code, 0);
  const refused = await as('viewer', 'set', 'create', 'other');
  match(refused.stderr, /for root and the group holdfast/);
  equal(refused.code, 2);
  equal((await as('deputy', 'set', 'create', 'other')).code, 0);
  match((await as('stranger', 'backup', 'list')).stderr, /only root and the groups/);
});

test('recovery points are files for the whole host, read-only and only while it is asked for', {
  skip: skip || (!existsSync('/dev/fuse') && 'no FUSE on this machine'),
}, async () => {
  const { run, tryRun } = host!;
  await run('mkdir', '-p', '/srv/points');
  const unit = 'holdfast-mount@srv-points.service';
  await run('systemctl', 'restart', unit);
  const file = '/srv/points/sets/nightly/vm/latest/vda.raw';
  await until('mounted', async () => (await tryRun('cmp', '/srv/disk.raw', file)).code === 0);
  ok((await tryRun('touch', file)).code !== 0);
  equal(await run('find', '/var/lib/holdfast', '!', '-user', 'holdfast'), '');
  await run('systemctl', 'stop', unit);
  equal((await run('systemctl', 'show', '-P', 'Result', unit)).trim(), 'success');
  equal((await tryRun('mountpoint', '/srv/points')).code, 32);
});

test('NFS is served where hypervisors look for it, and survives a restart there', {
  skip,
}, async () => {
  const { run } = host!;
  const recover = ['recover', 'vm@latest', '--detach', '--nfs'];
  const { session, nfs } = (await json('holdfast', ...recover)) as {
    session: string;
    nfs: { ports: object };
  };
  deepEqual(nfs.ports, STANDARD_PORTS);
  await run('systemctl', 'restart', 'holdfastd.service');
  equal(await show('StatusText'), '1 sessions run');
  await run('holdfast', 'session', 'stop', session);
  await run('holdfast', 'session', 'discard', session);
});

test('systemd`s sockets: over restarts NFS and NBD clients wait, are never refused, and find what they had', {
  skip,
}, async () => {
  const { run } = host!;
  await run('sh', INSTALL, '--offline', '--nfs', '--nbd');
  const pid = await show('MainPID');
  await run('sh', INSTALL, '--offline', '--nfs', '--nbd');
  equal(await show('MainPID'), pid, 'a second time changes nothing');
  const recover = async () =>
    (await json('holdfast', 'recover', 'vm@latest', '--detach', '--nfs')) as unknown as {
      session: string;
      nfs: { ports: object; directory: string };
    };
  const sessions = [await recover(), await recover()] as const;
  for (const { nfs } of sessions) deepEqual(nfs.ports, STANDARD_PORTS);
  const addresses = sessions.map(({ session, nfs }) => ({
    nbd: `nbd://127.0.0.1:10809/${session}/vda`,
    nfs: nfs.directory,
  }));
  const shown = await json('holdfast', 'session', 'show', sessions[1].session);
  const [nfs, nbd] = shown['addresses'] as string[];
  deepEqual(
    [nfs, nbd!.replace('HOST', '127.0.0.1')],
    [`nfs://127.0.0.1${addresses[1]!.nfs}`, addresses[1]!.nbd],
  );
  const clients = steadyClients(host!, addresses);
  const goOn = () => until('read on', clients.readOn());
  await goOn();
  const restart = () => run('systemctl', 'restart', 'holdfastd.service');
  for (const again of [restart, async () => run('kill', '-9', await show('MainPID')), restart]) {
    await again();
    await goOn();
  }
  // Connections end; nobody is refused, or told that what he had is no more.
  for (const what of await clients.stop()) {
    match(what, /^N\w\w( read|: .*(ended|went away|closed the connection|ECONNRESET|EPIPE))$/);
  }
  equal((await nfsPortByDatagram(host!)).trim(), '2049');
  for (const what of ['stop', 'discard']) {
    for (const { session } of sessions) await run('holdfast', 'session', what, session);
  }
});

test('killed, it runs again with its session, and whoever asks meanwhile waits', {
  skip,
}, async () => {
  const { run } = host!;
  await json('holdfast', 'recover', 'vm@latest', '--detach');
  equal(await show('StatusText'), '1 sessions run');
  for (let round = 0; round < 3; round++) {
    const pid = await show('MainPID');
    await run('kill', '-9', pid);
    // Not refused: the socket is systemd's.
    const { sessions } = (await json('holdfast', 'session', 'list')) as {
      sessions: { state: string }[];
    };
    deepEqual(
      sessions.map(({ state }) => state),
      ['running'],
    );
    await until(
      'started again',
      async () => (await show('MainPID')) !== pid && (await show('SubState')) === 'running',
    );
  }
  equal(await show('NRestarts'), '3');
  equal(await show('StatusText'), '1 sessions run');
});

test('one that hangs is started again by its watchdog', { skip }, async () => {
  const { run, path } = host!;
  const directory = path('/etc/systemd/system/holdfastd.service.d');
  mkdirSync(directory);
  writeFileSync(`${directory}/quick.conf`, '[Service]\nWatchdogSec=1s\n');
  await run('systemctl', 'daemon-reload');
  await run('systemctl', 'restart', 'holdfastd.service');
  const pid = await show('MainPID');
  await sleep(1500);
  equal(await show('MainPID'), pid, 'it says that it lives');
  await run('kill', '-STOP', pid);
  await until('started again', async () => {
    return (await show('MainPID')) !== pid && (await show('SubState')) === 'running';
  });
  match(host!.console(), /Watchdog timeout/);
  rmSync(directory, { recursive: true });
  await run('systemctl', 'daemon-reload');
});

test('an upgrade that would not run changes nothing; one that does not get READY is taken back', {
  skip,
}, async () => {
  const { run, tryRun, path } = host!;
  const checkout = '/root/checkout';
  const parts = ['package.json', 'package-lock.json', 'LICENSE', 'README.md', 'src', 'systemd'];
  await run('mkdir', checkout);
  await run('cp', '-R', ...[...parts, 'appliance'].map((it) => `${process.cwd()}/${it}`), checkout);
  await run('ln', '-s', realpathSync('node_modules'), `${checkout}/node_modules`);
  const pid = await show('MainPID');
  async function refused(file: string, alter: (text: string) => string): Promise<string> {
    const name = path(`${checkout}/${file}`);
    const text = readFileSync(name, 'utf8');
    writeFileSync(name, alter(text));
    const { code, stdout, stderr } = await tryRun(
      ...(['sh', `${checkout}/appliance/install`, '--offline'] as const),
    );
    writeFileSync(name, text);
    equal(code, 1, stdout);
    return stderr;
  }
  const more = '"packages": { "node_modules/not-there": { "version": "1.0.0" },';
  match(
    await refused('package-lock.json', (text) => text.replace('"packages": {', more)),
    /node_modules\/not-there 1\.0\.0: not there/,
  );
  // The service loads that one only when somebody asks for it.
  match(
    await refused('src/control/retention.ts', (text) => `${text}\nimport './not-there.ts';\n`),
    /does not load: nothing was changed/,
  );
  equal(await show('MainPID'), pid);

  const unit = path(`${checkout}/systemd/holdfastd.service`);
  writeFileSync(unit, `${readFileSync(unit, 'utf8')}# of a newer version\n`);
  match(await refused('src/daemon/main.ts', () => 'process.exit(1);'), /is put back/);
  equal(await show('StatusText'), '1 sessions run');
  ok(!/of a newer version/.test(await run('systemctl', 'cat', 'holdfastd.service')));
  await run('sh', INSTALL, '--offline');
  equal(await run('sh', '-c', 'ls /usr/lib | grep ^holdfast'), 'holdfast\n');

  await run('rm', `${checkout}/node_modules`);
  await run('mkdir', `${checkout}/node_modules`);
  await run('touch', '--date=2020-01-01', `${checkout}/node_modules/.package-lock.json`);
  match(await refused('README.md', (text) => text), /older than package-lock\.json: npm ci/);
});

test('what an install did not end, the next one does', { skip }, async () => {
  const { run, tryRun } = host!;
  // Killed before the restart: the files are new, the process is not.
  await run('touch', '/usr/lib/holdfast.unfinished');
  const pid = await show('MainPID');
  await run('sh', INSTALL, '--offline');
  ok((await show('MainPID')) !== pid);
  equal((await tryRun('test', '-e', '/usr/lib/holdfast.unfinished')).code, 1);
  // Killed between the renames: the old program is the only one.
  await run('mv', '/usr/lib/holdfast', '/usr/lib/holdfast.old');
  await run('sh', INSTALL, '--offline');
  equal(await run('sh', '-c', 'ls /usr/lib | grep ^holdfast'), 'holdfast\n');
  equal(await show('StatusText'), '1 sessions run');
});

test('reload and stop are clean; the journal has priorities', { skip }, async () => {
  const { run } = host!;
  const pid = await show('MainPID');
  writeFileSync(host!.path('/etc/holdfast/holdfastd.json'), '{ "stroe": 1 }');
  await run('systemctl', 'reload', 'holdfastd.service');
  match(await run('journalctl', '-u', 'holdfastd', '-p', 'err', '-o', 'cat'), /line 1: stroe/);
  writeFileSync(host!.path('/etc/holdfast/holdfastd.json'), '{}');
  await run('systemctl', 'reload', 'holdfastd.service');
  equal(await show('MainPID'), pid);
  await run('systemctl', 'stop', 'holdfastd*.socket', 'holdfastd.service');
  deepEqual([await show('ActiveState'), await show('Result')], ['inactive', 'success']);
  match(await journal(host!), /stopped/);
  ok(!/correct horse/.test(await run('journalctl', '--no-pager')));
  await run('systemctl', 'start', 'holdfastd.service');
  equal(await show('StatusText'), '1 sessions run');
  const start = Number(await show('ExecMainStartTimestampMonotonic'));
  const ready = Number(await show('ActiveEnterTimestampMonotonic'));
  ok(ready - start < 5e6, `from start to READY ${(ready - start) / 1000} ms`);
});

/** What the machine has drawn on its console since then, once it matches. */
async function drawn(since: number, what: RegExp): Promise<void> {
  await until(`drew ${what.source}`, async () => what.test(host!.console().slice(since)));
}

/** Processes of the user that may look only. */
async function pages(): Promise<string[]> {
  const { stdout } = await host!.tryRun('sh', '-c', 'stat -c "%U %n" /proc/[0-9]* 2>/dev/null');
  return [...stdout.matchAll(/^holdfast-console \/proc\/(\d+)$/gm)].map(([, pid]) => pid!);
}

const PAGE = /The service runs/;
const LOGIN = /login: $/;

test('the status page is on the console without a login, and comes back whenever it is killed', {
  skip,
}, async () => {
  const { run, path, console, type } = host!;
  const directory = path('/etc/systemd/system/holdfast-console@.service.d');
  mkdirSync(directory);
  writeFileSync(`${directory}/quick.conf`, '[Service]\nEnvironment=HOLDFAST_LOGIN_SECONDS=2\n');
  match(await run('sh', INSTALL, '--offline', '--console'), /Status page on console: press l/);
  await drawn(0, PAGE);
  for (let round = 0; round < 4; round++) {
    const found = await pages();
    equal(found.length, 1);
    match(await run('cat', `/proc/${found[0]}/status`), /^CapEff:\t0+$.*^NoNewPrivs:\t1$/ms);
    const since = console().length;
    await run('kill', '-9', found[0]!);
    // Before it is there, as it starts, and when it runs.
    type('\u0003\u001c\u001a'.repeat(1000));
    await drawn(since, PAGE);
    await drawn(since, /Ctrl-C does nothing here/);
  }
});

test('its key l gives a login, and where nobody logs in the page comes back', {
  skip,
}, async () => {
  const since = host!.console().length;
  host!.type('l');
  await drawn(since, LOGIN);
  deepEqual(await pages(), []);
  const later = host!.console().length;
  await drawn(later, PAGE);
});

test('a console that cannot start gives a login instead, until it can', { skip }, async () => {
  const { run, console } = host!;
  const directory = '/usr/lib/holdfast/src/console';
  await run('mv', directory, `${directory}.gone`);
  let since = console().length;
  await run('kill', '-9', ...(await pages()));
  await drawn(since, /does not run here.*login: /s);
  await run('mv', `${directory}.gone`, directory);
  since = console().length;
  await drawn(since, PAGE);
  await run('mv', '/usr/lib/holdfast', '/usr/lib/holdfast.gone');
  since = console().length;
  await run('systemctl', 'kill', '--signal=KILL', 'holdfast-console@console');
  await drawn(since, LOGIN);
  await run('mv', '/usr/lib/holdfast.gone', '/usr/lib/holdfast');
});

test('uninstall leaves nothing but what cannot be made again', { skip }, async () => {
  const { run, tryRun } = host!;
  await run('sh', UNINSTALL);
  equal((await run('systemctl', 'is-active', 'console-getty')).trim(), 'active');
  equal((await tryRun('systemctl', 'cat', 'holdfast-console@console')).code, 1);
  equal((await tryRun('systemctl', 'cat', 'holdfastd.service')).code, 1);
  equal((await tryRun('test', '-e', '/usr/lib/holdfast')).code, 1);
  await run('test', '-e', '/var/lib/holdfast/store/holdfast-store.json');
  await run('sh', UNINSTALL);
  match(await run('sh', INSTALL, '--offline'), /runs: 1 sessions run/);
});

test('the machine powers off', { skip }, async () => host![Symbol.asyncDispose]());
