import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { type DebianHost, debianHost, debianHostMissing } from '../support/debian-host.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// One machine for the whole file: what is installed in the beginning is removed in the end.

const skip = debianHostMissing;
const INSTALL = `${process.cwd()}/appliance/install`;
const UNINSTALL = `${process.cwd()}/appliance/uninstall`;
const STEADY_CLIENTS = new URL('../support/steady-clients.ts', import.meta.url).pathname;

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
  const { session, nfs } = (await json(
    'holdfast',
    'recover',
    'vm@latest',
    '--detach',
    '--nfs',
  )) as {
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
  const { run, tryRun, path } = host!;
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
  for (const { nfs } of sessions) {
    deepEqual(nfs.ports, { nfs: 2049, mount: 20_048, portmap: 111 });
  }
  const shown = await json('holdfast', 'session', 'show', sessions[1].session);
  deepEqual(shown['addresses'], [
    `nfs://127.0.0.1${sessions[1].nfs.directory}`,
    `nbd://HOST:10809/${sessions[1].session}/vda`,
  ]);
  const clients = sessions.map(async ({ session, nfs }, which) =>
    tryRun(
      ...['/usr/lib/holdfast/bin/node', STEADY_CLIENTS, `nbd://127.0.0.1:10809/${session}/vda`],
      ...(['2049', nfs.directory, '/root/stop', `/root/seen${which}`] as const),
    ),
  );
  const seen = (which: number) => {
    const file = path(`/root/seen${which}`);
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    return JSON.parse(text === '' ? '{}' : text) as Record<string, number>;
  };
  /** All four have read some more. */
  const goOn = async () => {
    const before = [seen(0), seen(1)];
    await until('read on', async () =>
      before.every((them, which) =>
        ['NFS read', 'NBD read'].every((it) => (seen(which)[it] ?? 0) > (them[it] ?? 0) + 2),
      ),
    );
  };
  await goOn();
  for (const how of ['restart', 'kill', 'restart']) {
    if (how === 'kill') await run('kill', '-9', await show('MainPID'));
    else await run('systemctl', 'restart', 'holdfastd.service');
    await goOn();
  }
  writeFileSync(path('/root/stop'), '');
  for (const { code, stderr } of await Promise.all(clients)) equal(code, 0, stderr);
  for (const which of [0, 1]) {
    // Connections end; nobody is refused, or told that what he had is no more.
    for (const what of Object.keys(seen(which))) match(what, STEADY);
  }
  const mapped = await run('/usr/lib/holdfast/bin/node', '-e', PORTMAP_OVER_UDP);
  equal(mapped.trim(), '2049');
  for (const { session } of sessions) {
    await run('holdfast', 'session', 'stop', session);
    await run('holdfast', 'session', 'discard', session);
  }
});

const STEADY = /^N\w\w( read|: .*(ended|went away|closed the connection|ECONNRESET|EPIPE))$/;

/** Asks the port mapper for NFS with a datagram (RFC 1833, section 3). */
const PORTMAP_OVER_UDP = `
  const socket = require('node:dgram').createSocket('udp4');
  const words = [9, 0, 2, 100000, 2, 3, 0, 0, 0, 0, 100003, 3, 6, 0];
  const call = Buffer.alloc(4 * words.length);
  words.forEach((word, at) => call.writeUInt32BE(word, 4 * at));
  socket.once('message', (reply) => console.log(reply.readUInt32BE(24)) || socket.close());
  socket.send(call, 111, '127.0.0.1');
`;

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

test('uninstall leaves nothing but what cannot be made again', { skip }, async () => {
  const { run, tryRun } = host!;
  await run('sh', UNINSTALL);
  equal((await tryRun('systemctl', 'cat', 'holdfastd.service')).code, 1);
  equal((await tryRun('test', '-e', '/usr/lib/holdfast')).code, 1);
  await run('test', '-e', '/var/lib/holdfast/store/holdfast-store.json');
  await run('sh', UNINSTALL);
  match(await run('sh', INSTALL, '--offline'), /runs: 1 sessions run/);
});

test('the machine powers off', { skip }, async () => host![Symbol.asyncDispose]());
