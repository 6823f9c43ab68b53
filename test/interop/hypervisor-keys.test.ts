import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { add, identify } from '../../src/engine/hypervisors/managed.ts';
import { runSsh } from '../../src/engine/hypervisors/ssh-keys.ts';
import { NO_FILES, failing, managedHome, WORK } from '../support/hypervisors.ts';
import { enterOwnNetwork } from '../support/own-network.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// A real sshd: what our key may do there, and how a hypervisor is recognized.

const SSHD = '/usr/sbin/sshd';
const missing = existsSync(SSHD) ? false : `${SSHD} is not installed`;
const skip = missing === false ? enterOwnNetwork() : missing;
const root = temporaryDirectory();
const at = (name: string): string => join(root, name);
const PORT = 2222;
const URI = `fake+ssh://root@127.0.0.1:${PORT}/system`;

function makeHostKey(name: string): string {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
  return execFileSync('ssh-keygen', ['-lf', at(`${name}.pub`)], { encoding: 'utf8' }).split(
    ' ',
  )[1]!;
}

async function serve(hostKey: string): Promise<AsyncDisposable> {
  mkdirSync('/run/sshd', { recursive: true });
  const settings = {
    ...{
      ListenAddress: '127.0.0.1',
      AuthorizedKeysFile: at('authorized_keys'),
      HostKey: at(hostKey),
    },
    ...{ StrictModes: 'no', UsePAM: 'no', PidFile: 'none', PermitRootLogin: 'yes' },
  };
  const words = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const sshd = spawn(SSHD, ['-D', '-f', '/dev/null', '-p', String(PORT), ...words], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => sshd.once('close', resolve));
  await until('sshd listens', async () => (await said({ port: PORT })).startsWith('SSH-2.0'));
  return {
    async [Symbol.asyncDispose]() {
      sshd.kill('SIGTERM');
      await ended;
    },
  };
}

/** The first bytes that a server sends there; empty: none came, or no server answers. */
function said(place: { readonly port: number } | { readonly path: string }): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect('port' in place ? { host: '127.0.0.1', ...place } : place);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once('error', () => resolve(''));
    socket.once('close', () => resolve(''));
  });
}

test('a hypervisor is recognized by the key that its sshd has, and accepts ours for what backups need', {
  skip,
}, async () => {
  const fingerprint = makeHostKey('host');
  const { hypervisors: scripted, directory } = managedHome(failing('UNREACHABLE', 'not asked'));
  const hypervisors = { ...scripted, run: runSsh };
  const named = {
    hypervisor: 'kvm1',
    uri: URI,
    ...NO_FILES,
    sockets: undefined,
    scratch: undefined,
  };
  await rejects(identify(hypervisors, { uri: URI }, WORK), /no SSH server answers/);
  await using _sshd = await serve('host');
  deepEqual((await identify(hypervisors, { uri: URI }, WORK)).keys, [
    { type: 'ssh-ed25519', fingerprint },
  ]);
  await rejects(add(hypervisors, { ...named, hostKey: makeHostKey('other') }, WORK), {
    code: 'IDENTITY',
  });
  const { authorizedKey } = await add(hypervisors, { ...named, hostKey: fingerprint }, WORK);
  // The line names a helper of the driver; here one that answers with what it was started as.
  const line = authorizedKey!.replace(
    /command="[^"]+"/,
    'command="echo only $SSH_ORIGINAL_COMMAND"',
  );
  writeFileSync(at('authorized_keys'), `${line}\n`);
  const record = await hypervisors.files.get('kvm1');
  const { key, knownHosts } = await hypervisors.files.sshFiles(record);
  const options = [
    ...['-F', 'none', '-i', key, '-p', String(PORT)],
    ...[
      'HostKeyAlias=kvm1',
      `UserKnownHostsFile=${knownHosts}`,
      'GlobalKnownHostsFile=/dev/null',
    ].flatMap((it) => ['-o', it]),
    ...['StrictHostKeyChecking=yes', 'BatchMode=yes', 'IdentitiesOnly=yes'].flatMap((it) => [
      '-o',
      it,
    ]),
  ];
  const ssh = (...words: string[]) =>
    spawnSync('ssh', [...options, ...words], { encoding: 'utf8', timeout: 20_000 });
  equal(ssh('root@127.0.0.1', 'rm -rf /nothing').stdout, 'only rm -rf /nothing\n', directory);
  match(ssh('-tt', 'root@127.0.0.1').stderr, /PTY allocation request failed/);
  const listening = ['-N', '-R', '2223:127.0.0.1:1', '-o', 'ExitOnForwardFailure=yes'];
  match(ssh(...listening, 'root@127.0.0.1').stderr, /remote port forwarding failed/);
  // The data of disks: a socket there, as one of this host.
  const server = createServer((socket) => socket.end('a disk')).listen(at('there.sock'));
  const way = ['-N', '-L', `${at('here.sock')}:${at('there.sock')}`, 'root@127.0.0.1'];
  const forward = spawn('ssh', [...options, ...way], { stdio: 'ignore' });
  const ended = new Promise((resolve) => forward.once('close', resolve));
  await until(
    'the socket is forwarded',
    async () => (await said({ path: at('here.sock') })) === 'a disk',
  );
  forward.kill('SIGTERM');
  await ended;
  server.close();
});

test('another sshd at the same address is refused', { skip }, async () => {
  const { hypervisors: scripted } = managedHome(failing('UNREACHABLE', 'not asked'));
  const hypervisors = { ...scripted, run: runSsh };
  const named = {
    hypervisor: 'kvm1',
    uri: URI,
    ...NO_FILES,
    sockets: undefined,
    scratch: undefined,
  };
  const fingerprint = makeHostKey('first');
  {
    await using _sshd = await serve('first');
    await add(hypervisors, { ...named, hostKey: fingerprint }, WORK);
  }
  makeHostKey('second');
  await using _sshd = await serve('second');
  const record = await hypervisors.files.get('kvm1');
  const { key, knownHosts } = await hypervisors.files.sshFiles(record);
  const { stderr, status } = spawnSync('ssh', [
    ...['-F', 'none', '-i', key, '-p', String(PORT), '-o', 'HostKeyAlias=kvm1'],
    ...['-o', `UserKnownHostsFile=${knownHosts}`, '-o', 'StrictHostKeyChecking=yes'],
    ...['-o', 'BatchMode=yes', 'root@127.0.0.1', 'true'],
  ]);
  equal(status, 255);
  match(stderr.toString(), /Host key verification failed/);
});
