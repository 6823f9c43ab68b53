import { equal, match, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'tap';
import { type Answer, debianHost, debianHostMissing } from '../support/debian-host.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A real sshd and a real client, in a machine of their own: nothing of it touches this one.

const skip = debianHostMissing;
const host = skip === false ? await debianHost(temporaryDirectory()) : undefined;
const OPTIONS = [
  ...['-i', '/root/key', '-o', 'StrictHostKeyChecking=no', '-o', 'BatchMode=yes'],
  ...['-o', 'LogLevel=ERROR'],
];

const ssh = (user: string, ...words: string[]): Promise<Answer> =>
  host!.tryRun('ssh', '-n', ...OPTIONS, `${user}@127.0.0.1`, ...words);

async function sftp(...commands: string[]): Promise<Answer> {
  writeFileSync(host!.path('/root/batch'), `${commands.join('\n')}\n`);
  return host!.tryRun('sftp', ...OPTIONS, '-b', '/root/batch', 'restore@127.0.0.1');
}

test('it is installed once there are users of these names for it', { skip }, async () => {
  const { run, tryRun, path } = host!;
  await run('useradd', '--shell', '/bin/bash', 'admin');
  const install = [`${process.cwd()}/appliance/install`, '--offline', '--ssh'];
  const refused = await tryRun('sh', ...install);
  match(refused.stderr, /has a user admin of its own/);
  await run('userdel', 'admin');
  await run('sh', ...install);
  // From then on every install renews it.
  const settings = '/etc/ssh/sshd_config.d/holdfast.conf';
  await run('sh', '-c', `echo '# of an older version' >>${settings}`);
  await run('sh', ...install.slice(0, -1));
  await run('cmp', settings, `${process.cwd()}/appliance/ssh/sshd.conf`);
  await run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/key');
  const key = readFileSync(path('/root/key.pub'));
  for (const user of ['admin', 'restore'])
    writeFileSync(path(`/etc/holdfast/ssh/${user}.keys`), key);
});

test('a command is carried out, with its exit code, and by the service', { skip }, async () => {
  equal((await ssh('admin', 'holdfast', 'store', 'create')).code, 0);
  const { code, stdout } = await ssh('admin', 'holdfast', 'session', 'list', '--json');
  equal(code, 0);
  match(stdout, /"sessions":\[\]/);
  equal((await ssh('admin', 'holdfast', 'session', 'show', 'none')).code, 5);
  equal((await ssh('admin', "holdfast set create 'no such name'")).code, 2);
});

test('a support bundle comes over the wire, with the journal of the service', {
  skip,
}, async () => {
  const { run, path } = host!;
  const command = `ssh -n ${OPTIONS.join(' ')} admin@127.0.0.1 holdfast support create --to -`;
  await run('sh', '-c', `${command} | tar -C /root -xzf - --strip-components=1`);
  match(readFileSync(path('/root/journal.txt'), 'utf8'), /holdfastd\[\d+\]: ready/);
  match(readFileSync(path('/root/os-release.txt'), 'utf8'), /Debian/);
});

test('without a command there is something for people', { skip }, async () => {
  const { stdout, stderr } = await ssh('admin');
  match(stdout + stderr, /holdfast COMMAND|console/);
});

test('nothing else runs: no shell, no other program, no forwarding, no sftp', {
  skip,
}, async () => {
  for (const line of ['id', 'holdfast session list; id', 'holdfast $(id)', 'sh -c id', '/bin/sh']) {
    const { code, stdout, stderr } = await ssh('admin', line);
    equal(code, 2, line);
    ok(!/uid=/.test(stdout + stderr), line);
  }
  match((await ssh('admin', 'holdfast mount /mnt')).stderr, /for root at the box/);
  const forwarded = await host!.tryRun('ssh', ...OPTIONS, '-W', '127.0.0.1:22', 'admin@127.0.0.1');
  match(forwarded.stderr, /forwarding failed/);
  const copied = await host!.tryRun('sftp', ...OPTIONS, '-b', '/dev/null', 'admin@127.0.0.1');
  ok(copied.code !== 0);
  const password = await host!.tryRun(
    'ssh',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'BatchMode=yes',
    'admin@127.0.0.1',
  );
  match(password.stderr, /Permission denied \(publickey\)/);
});

test('a shell is there only while root has allowed it', { skip }, async () => {
  const { run, path } = host!;
  const file = path('/etc/holdfast/ssh/shell-until');
  equal((await ssh('admin', 'shell')).code, 2);
  writeFileSync(file, '1000000000\n');
  equal((await ssh('admin', 'shell')).code, 2, 'it is over');
  const until = Math.floor(Date.now() / 1000) + 600;
  await run('sh', '-c', `umask 077; echo ${until} >/etc/holdfast/ssh/shell-until`);
  equal((await ssh('admin', 'shell')).code, 0);
  await run('holdfast', 'lockdown', 'on');
  const locked = await ssh('admin', 'shell');
  equal(locked.code, 2);
  match(locked.stderr, /^there is no shell: the lockdown is on/);
  await run('holdfast', 'lockdown', 'off');
  await run('chmod', '600', '/etc/holdfast/ssh/shell-until');
  const unreadable = await ssh('admin', 'shell');
  equal(unreadable.code, 2);
  match(unreadable.stderr, /^there is no shell/);
  const journal = await run('journalctl', '-t', 'holdfast-login', '-o', 'cat', '--no-pager');
  match(
    journal,
    /a shell was refused to 127\.0\.0\.1 .*\na shell was refused .*\na shell to 127\.0\.0\.1 /s,
  );
  match(journal, /\na shell was refused to .*: \/etc\/holdfast\/ssh\/shell-until cannot be read/);
});

test('SFTP sees what is opened there, mounted later too, and changes nothing', {
  skip,
}, async () => {
  const { run, path } = host!;
  // As `holdfast files open` mounts volumes; containers have no loop devices.
  await run('mkdir', '/srv/holdfast-restore/web1');
  await run(
    'mount',
    '-t',
    'tmpfs',
    '-o',
    'nosuid,nodev,noexec',
    'none',
    '/srv/holdfast-restore/web1',
  );
  await run('sh', '-c', 'echo found >/srv/holdfast-restore/web1/file');
  await run('mount', '-o', 'remount,ro', '/srv/holdfast-restore/web1');
  const listed = await sftp('ls -1 /', 'get /web1/file /root/got');
  equal(listed.code, 0, listed.stderr);
  match(listed.stdout, /\/web1\n/);
  equal(readFileSync(path('/root/got'), 'utf8'), 'found\n');
  for (const command of [
    'put /root/got /web1/x',
    'rm /web1/file',
    'mkdir /x',
    'ls /../etc/passwd',
  ]) {
    ok((await sftp(command)).code !== 0, command);
  }
  match((await ssh('restore', 'id')).stdout, /^This service allows sftp connections only/);
});

test('a host powers off on request', { skip }, async () => host![Symbol.asyncDispose]());
