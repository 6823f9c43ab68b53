import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'tap';
import { debianHost, debianHostMissing } from '../support/debian-host.ts';
import { installedHost } from '../support/installed-host.ts';
import { noise } from '../support/random.ts';
import { metOver, nfsPortByDatagram } from '../support/steady-clients.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { lockdowns } from './lockdowns.ts';
import { serviceAnswers } from './service-answers.ts';
import { unitRights } from './unit-rights.ts';
import { upgrades } from './upgrades.ts';

// One machine for the whole file: what is installed in the beginning is removed in the end.

const skip = debianHostMissing;
const INSTALL = `${process.cwd()}/appliance/install`;
const STORE = '/var/lib/holdfast/store';
const UNINSTALL = `${process.cwd()}/appliance/uninstall`;

const host = skip === false ? await debianHost(temporaryDirectory()) : undefined;

const { show, json, until, journal } = installedHost(() => host!);

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
  const shells = ['zsh/vendor-completions/_holdfast', 'fish/vendor_completions.d/holdfast.fish'];
  const scripts = await host!.run('cat', ...shells.map((path) => `/usr/share/${path}`));
  match(scripts, /^#compdef holdfast\n.*^complete -c holdfast /ms);
  match(await host!.run('cat', '/usr/share/man/man1/holdfast.1'), /^\.TH HOLDFAST 1 /);
  deepEqual([await show('ActiveState'), await show('SubState')], ['active', 'running']);
  equal(await show('StatusText'), 'no store');
  const pid = await show('MainPID');
  await host!.run('sh', INSTALL, '--offline');
  equal(await show('MainPID'), pid, 'it was not started again');
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

unitRights(test, { skip, host });

serviceAnswers(test, { skip, host, json });

test("what the host keeps secret is no image, not even by another name or in another file's place", {
  skip,
}, async () => {
  const { run, tryRun } = host!;
  await run('ln', '-s', '/run/credentials/holdfastd.service/holdfast-passphrase', '/srv/link');
  // As passwd(1) does: what hides the file from the service goes with the file.
  await run('sh', '-c', 'cp -p /etc/shadow /etc/shadow.new && mv /etc/shadow.new /etc/shadow');
  for (const path of ['/srv/link', '/etc/shadow']) {
    for (const words of [`vda=${path}`, `vda=/srv/disk.raw --changed ${path}`]) {
      const disk = ['--machine', 'vm', '--disk', ...words.split(' ')];
      const { code, stderr } = await tryRun('holdfast', 'backup', 'create', 'nightly', ...disk);
      equal(code, 8, path);
      match(stderr, /holds secrets of this host/, path);
    }
  }
  const image = (name: string, backing: string) =>
    run('qemu-img', 'create', '-qfqcow2', '-b', backing, '-F', 'raw', `/srv/${name}`, '1M');
  const backUp = (name: string) =>
    tryRun(
      ...['holdfast', 'backup', 'create', 'nightly', '--machine', 'image', '--format', 'qcow2'],
      ...['--disk', `vda=/srv/${name}`],
    );
  await image('names.qcow2', '/srv/link');
  match((await backUp('names.qcow2')).stderr, /leads to .*, which holds secrets of this host/);
  await image('plain.qcow2', '/srv/disk.raw');
  const plain = await backUp('plain.qcow2');
  equal(plain.code, 0, plain.stderr);
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
  equal(refused.code, 8);
  equal((await as('deputy', 'set', 'create', 'other')).code, 0);
  match((await as('stranger', 'backup', 'list')).stderr, /only root and the groups/);
});

lockdowns(test, { skip, host });

/** Whether its root has CAP_SYS_RESOURCE, number 24 of capabilities(7). */
async function mayFlush(): Promise<boolean> {
  const [, set] = /^CapEff:\s*(\w+)$/m.exec(await host!.run('cat', '/proc/1/status'))!;
  return ((BigInt(`0x${set}`) >> 24n) & 1n) === 1n;
}

test('recovery points are files for the whole host, read-only and only while it is asked for', {
  skip: skip || (!existsSync('/dev/fuse') && 'no FUSE on this machine'),
}, async (t) => {
  const { run, tryRun } = host!;
  await run('mkdir', '-p', '/srv/points');
  const unit = 'holdfast-mount@srv-points.service';
  await run('systemctl', 'restart', unit);
  const file = '/srv/points/sets/nightly/vm/latest/vda.raw';
  await until('mounted', async () => (await tryRun('cmp', '/srv/disk.raw', file)).code === 0);
  ok((await tryRun('touch', file)).code !== 0);
  equal(await run('find', '/var/lib/holdfast', '!', '-user', 'holdfast'), '');
  match(await run('systemctl', 'show', '-P', 'CapabilityBoundingSet', unit), /cap_sys_resource/);
  if (await mayFlush()) {
    // /proc/PID/stat: PF_MEMALLOC_NOIO, by which the kernel knows who must not wait for what it serves itself.
    const holder = (await run('systemctl', 'show', '-P', 'MainPID', unit)).trim();
    const server = (await run('cat', `/proc/${holder}/task/${holder}/children`)).trim();
    const [, fields] = (await run('cat', `/proc/${server}/stat`)).split(') ');
    ok((Number(fields!.split(' ')[6]) & 0x80000) !== 0, fields);
  } else
    t.comment('root has no CAP_SYS_RESOURCE here: the guard against memory deadlock was not seen');
  await run('systemctl', 'stop', unit);
  equal((await run('systemctl', 'show', '-P', 'Result', unit)).trim(), 'success');
  equal((await tryRun('mountpoint', '/srv/points')).code, 32);
});

test('volumes are opened by a service of their own, for who may not mount', {
  skip: skip || (!existsSync('/dev/fuse') && 'no FUSE on this machine'),
}, async () => {
  const { run, tryRun } = host!;
  const asHelper = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--groups=holdfast'] as const;
  const out = await run(...asHelper, 'holdfast', 'files', 'open', 'vm@latest', '--json');
  const { id, at, disks } = JSON.parse(out.trim().split('\n').at(-1)!) as {
    id: string;
    at: string;
    disks: { path: string }[];
  };
  // The host sees it, and it is the disk.
  await run('cmp', '/srv/disk.raw', disks[0]!.path);
  await run('test', '-d', at);
  match(await run(...asHelper, 'holdfast', 'files', 'opened'), new RegExp(`${id} .* open`));
  await run(...asHelper, 'holdfast', 'files', 'close', id);
  ok((await tryRun('test', '-e', disks[0]!.path)).code !== 0);
  const socket = '/run/holdfast-files/filesd.sock';
  const direct = await tryRun(...asHelper, 'test', '-w', socket);
  ok(direct.code !== 0, 'only the service and root may use it');
});

test('NFS is served where hypervisors look for it, and survives a restart there', {
  skip,
}, async () => {
  const { run } = host!;
  const recover = ['recover', 'vm@latest', '--detach', '--nfs', '--squash', 'none', '--any-port'];
  const { session, nfs } = (await json('holdfast', ...recover)) as {
    session: string;
    nfs: { ports: object };
  };
  deepEqual(nfs.ports, { nfs: 2049, mount: 20_048, portmap: 111 });
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
  const restart = () => run('systemctl', 'restart', 'holdfastd.service');
  const kill = async () => run('kill', '-9', await show('MainPID'));
  const met = await metOver(host!, [restart, kill, restart], until);
  // Connections end; no client is refused, or gets an error that its file no longer exists.
  const fine =
    /^N\w\w( read|: .*(ended|went away|disconnected|closed the connection|ECONNRESET|EPIPE).*)$/;
  for (const what of met) match(what, fine);
  equal((await nfsPortByDatagram(host!)).trim(), '2049');
});

test('killed, it runs again with its session, and clients wait in the meantime', {
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
  writeFileSync(`${directory}/quick.conf`, '[Service]\nWatchdogSec=5s\n');
  await run('systemctl', 'daemon-reload');
  await run('systemctl', 'restart', 'holdfastd.service');
  const said = async (): Promise<string[]> =>
    Promise.all(['MainPID', 'WatchdogTimestampMonotonic'].map((it) => show(it)));
  let [pid, when] = await said();
  await until('said that it lives', async () => {
    const [before, then] = [pid, when];
    [pid, when] = await said();
    return pid === before && when !== then;
  });
  await run('kill', '-STOP', pid!);
  await until('started again', async () => {
    return (await show('MainPID')) !== pid && (await show('SubState')) === 'running';
  });
  match(host!.console(), /Watchdog timeout/);
  rmSync(directory, { recursive: true });
  await run('systemctl', 'daemon-reload');
});

upgrades(test, { skip, host, install: INSTALL });

test('reload and stop are clean; the journal has priorities', { skip }, async () => {
  const { run } = host!;
  const pid = await show('MainPID');
  writeFileSync(host!.path('/etc/holdfast/holdfastd.json'), '{ "stroe": 1 }');
  equal((await host!.tryRun('systemctl', 'reload', 'holdfastd.service')).code, 1);
  match(await run('journalctl', '-u', 'holdfastd', '-p', 'err', '-o', 'cat'), /line 1: stroe/);
  writeFileSync(host!.path('/etc/holdfast/holdfastd.json'), '{}');
  await run('systemctl', 'reload', 'holdfastd.service');
  equal(await show('MainPID'), pid);
  await run('systemctl', 'stop', 'holdfastd*.socket', 'holdfastd.service');
  deepEqual([await show('ActiveState'), await show('Result')], ['inactive', 'success']);
  match(await journal(), /stopped/);
  const { sessions } = (await json('holdfast', 'session', 'list', '--store', STORE)) as {
    sessions: { session: string }[];
  };
  const about = [`HOLDFAST_SESSION=${sessions[0]!.session}`, '_SYSTEMD_UNIT=holdfastd.service'];
  const own = await run('journalctl', ...about, '-p', 'info', '-o', 'cat', '--no-pager');
  match(own, /^session \S+ is started\n.*session \S+ is resumed$/ms);
  ok(!/ready|SIGTERM/.test(own), own);
  ok(!/correct horse/.test(await run('journalctl', '--no-pager')));
  await run('systemctl', 'start', 'holdfastd.service');
  equal(await show('StatusText'), '1 sessions run');
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
  const before = await pages();
  await run('sh', INSTALL, '--offline');
  deepEqual(await pages(), before, 'what is up to date goes on');
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

test('its key l gives a login, and without a login the page comes back', {
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
  // As a killed "files open" leaves it; containers have no loop devices for a real one.
  const files = '/run/holdfast/files';
  const directories = [`${files}/0123abcd`, `${files}/0123abcd/volumes`];
  await run('mkdir', '-p', `${files}/0123abcd/volumes`);
  await run('mount', '-t', 'tmpfs', 'none', `${files}/0123abcd/volumes`);
  const boot = (await run('cat', '/proc/sys/kernel/random/boot_id')).trim();
  const record = {
    ...{ format: 'holdfast open restore 1', id: '0123abcd', point: 'x', opened: '' },
    ...{ owner: { boot, pid: 2 ** 22, started: 0 }, at: directories[1], directories },
  };
  writeFileSync(host!.path('/root/record'), JSON.stringify(record));
  await run('cp', '/root/record', `${files}/0123abcd.json`);
  await run('sh', UNINSTALL);
  equal((await tryRun('test', '-e', '/run/holdfast')).code, 1);
  equal((await run('systemctl', 'is-active', 'console-getty')).trim(), 'active');
  equal((await tryRun('systemctl', 'cat', 'holdfast-console@console')).code, 1);
  equal((await tryRun('systemctl', 'cat', 'holdfastd.service')).code, 1);
  equal(await run('find', '/usr', '-name', '*holdfast*'), '');
  await run('test', '-e', '/var/lib/holdfast/store/holdfast-store.json');
  await run('sh', UNINSTALL);
  match(await run('sh', INSTALL, '--offline'), /runs: 1 sessions run/);
});

test('a host powers off on request', { skip }, async () => host![Symbol.asyncDispose]());
