import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tap, { test } from 'tap';
import { reachableAt } from '../../src/sys/net/this-host.ts';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { lookup, list, read, write } from '../support/nfs-calls.ts';
import { OPEN_NFS, rpcClient, type RpcClient } from '../support/nfs-client.ts';
import { noise } from '../support/random.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// The service's one NFS server, with sessions that come and go.

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 4 * 2 ** 20, 3);
const home = serviceHome(root);
const { holdfast } = home;

interface Nfs {
  readonly host: string;
  readonly ports: { readonly nfs: number; readonly mount: number; readonly portmap: number };
  readonly directory: string;
}

interface Started {
  readonly session: string;
  readonly nfs: Nfs;
}

async function recover(...more: string[]): Promise<Started> {
  const { result } = await expectDone(
    holdfast('recover', 'vm@latest', '--detach', '--nfs', ...OPEN_NFS, ...more),
  );
  return result as unknown as Started;
}

const portsOf = ({ nfs }: Started): string[] => [
  ...['--nfs-port', `${nfs.ports.nfs}`, '--mount-port', `${nfs.ports.mount}`],
  ...['--portmap-port', `${nfs.ports.portmap}`],
];
const ANY = ['--nfs-port', '0', '--mount-port', '0', '--portmap-port', '0'];

/** The disk's handle, by the way that a host goes. */
async function diskOf(client: RpcClient, { nfs }: Started): Promise<Uint8Array> {
  const { status, handle } = await client.mount(nfs.directory);
  equal(status, 0);
  return (await lookup(client, handle, 'vda.raw')).handle;
}

const service = { now: await serviceWith(home, image) };
tap.teardown(() => service.now.stop('SIGKILL'));

test('a second session is simply a second directory, while others begin and end', async () => {
  const first = await recover(...ANY);
  const { nfs: port } = first.nfs.ports;
  await using client = await rpcClient(port);
  const disk = await diskOf(client, first);
  // For other hosts too, while one is connected at this host's own address.
  const second = await recover(
    ...portsOf(first),
    '--allow',
    '127.0.0.1',
    '--allow',
    '192.0.2.0/24',
  );
  deepEqual(second.nfs.ports, first.nfs.ports);
  const { host } = second.nfs;
  deepEqual([first.nfs.host, host], ['127.0.0.1', reachableAt(['192.0.2.0/24'])]);
  // All addresses, written otherwise: they are served already.
  const third = await recover(...portsOf(first), '--allow', '::1', '--nfs-listen', '::0');
  equal(third.nfs.host, '::1');
  const { handle } = await client.mount('/holdfast');
  deepEqual(
    (await list(client, handle, { plus: true, size: 4096 })).sort(),
    ['.', '..', first.session, second.session].sort(),
  );
  await using six = await rpcClient(port, '::1');
  await diskOf(six, third);
  equal((await client.mount(third.nfs.directory)).status, 2);

  const shown = await expectDone(holdfast('session', 'show', second.session));
  deepEqual(shown.result['addresses'], [`nfs://${host}:${port}${second.nfs.directory}`]);
  for (const { session } of [second, third]) {
    await expectDone(holdfast('session', 'stop', session));
    equal((await read(client, disk, 0, 512)).status, 0);
  }
  // Another process has that port.
  const clash = await holdfast(
    'recover',
    'vm@latest',
    '--detach',
    '--nfs',
    ...OPEN_NFS,
    '--nfs-port',
    `${port}`,
  );
  equal(clash.code, 3, clash.stderr);
  equal((await read(client, disk, 0, 512)).status, 0);
  for (const { session } of [second, third]) {
    await expectDone(holdfast('session', 'discard', session));
  }
  await expectDone(holdfast('session', 'stop', first.session));
  await rejects(rpcClient(port), /ECONNREFUSED/, 'no session uses it any longer');
  await expectDone(holdfast('session', 'discard', first.session));
});

test('stopped and resumed, a session is where it was for clients who waited; discarded, it is gone', async () => {
  const stays = await recover(...ANY);
  const goes = await recover(...portsOf(stays));
  const { nfs: port } = stays.nfs.ports;
  const client = await rpcClient(port);
  const disk = await diskOf(client, goes);
  const data = noise(8192, 5);
  equal((await write(client, disk, { at: 0, data, stable: 0 })).status, 0);
  await expectDone(holdfast('session', 'stop', goes.session));
  const waits = rejects(read(client, disk, 0, 512), /ended/);
  await diskOf(client, stays);
  await expectDone(holdfast('session', 'resume', goes.session));
  await waits;
  await client[Symbol.asyncDispose]();

  await using again = await rpcClient(port);
  deepEqual(Buffer.from((await read(again, disk, 0, 8192)).data), Buffer.from(data));
  await expectDone(holdfast('session', 'stop', goes.session));
  await expectDone(holdfast('session', 'discard', goes.session));
  await rejects(read(again, disk, 0, 512), /ended/);
  await using last = await rpcClient(port);
  equal((await read(last, disk, 0, 512)).status, 70, 'stale');
  await expectDone(holdfast('session', 'stop', stays.session));
  await expectDone(holdfast('session', 'discard', stays.session));
});

test('recovery points of a set are shown once, to all who may see them by some session', async () => {
  await expectDone(holdfast('set', 'create', 'weekly'));
  const image_ = ['--machine', 'other', '--disk', `vda=${image}`];
  await expectDone(holdfast('backup', 'create', 'weekly', ...image_));
  const one = await recover(...ANY, '--nfs-points');
  const two = await recover(
    ...portsOf(one),
    '--nfs-points',
    '--allow',
    '127.0.0.1',
    '--allow',
    '::1',
  );
  const only = ['--nfs-points', '--allow', '127.0.0.1'];
  const weekly = await expectDone(
    holdfast('recover', 'other@latest', '--detach', '--nfs', ...OPEN_NFS, ...portsOf(one), ...only),
  );
  await using client = await rpcClient(one.nfs.ports.nfs);
  const { handle: points } = await client.mount('/holdfast/points');
  const sets = await list(client, points, { plus: true, size: 4096 });
  deepEqual(sets.sort(), ['.', '..', 'nightly', 'weekly']);
  const { handle: machine } = await client.mount('/holdfast/points/nightly/vm');
  const [point] = (await list(client, machine, { plus: false, size: 4096 })).filter((it) =>
    it.startsWith('vm-'),
  );
  const { handle: directory } = await lookup(client, machine, point!);
  const { handle: disk } = await lookup(client, directory, 'vda.raw');
  const before = await read(client, disk, 0, 4096);
  equal(before.status, 0);
  equal((await write(client, disk, { at: 0, data: noise(1, 1), stable: 0 })).status, 30);
  await using six = await rpcClient(one.nfs.ports.nfs, '::1');
  equal(
    (await six.mount('/holdfast/points/weekly')).status,
    2,
    'for this host there is no such set',
  );
  equal((await read(six, disk, 0, 4096)).status, 0);
  await expectDone(holdfast('session', 'stop', one.session));
  deepEqual((await read(client, disk, 0, 4096)).data, before.data);
  await expectDone(holdfast('session', 'stop', two.session));
  equal((await read(client, disk, 0, 4096)).status, 70);
  await expectDone(holdfast('session', 'stop', weekly.result['session'] as string));
});

test('killed under two sessions: no client gets an error that its files are gone', async () => {
  home.configure({ passphraseFiles: { nightly: home.passphrase } });
  const one = await recover(...ANY);
  const two = await recover(...portsOf(one));
  const { nfs: port } = one.nfs.ports;
  const before = await rpcClient(port);
  const disks = [await diskOf(before, one), await diskOf(before, two)];
  for (const [which, disk] of disks.entries()) {
    await write(before, disk, { at: 0, data: noise(4096, which), stable: 2 });
  }
  await before[Symbol.asyncDispose]();
  const asked = { answers: 0, isOver: false };
  for (let round = 0; round < 4; round++) {
    const ended = service.now.stop('SIGKILL');
    asked.isOver = false;
    // Asks all the time, as a host that has it mounted does.
    const asking = disks.map(async (disk, which) => {
      while (!asked.isOver) {
        try {
          await using client = await rpcClient(port);
          const { status, data } = await read(client, disk, 0, 4096);
          equal(status, 0);
          deepEqual(Buffer.from(data), Buffer.from(noise(4096, which)));
          asked.answers++;
        } catch (cause) {
          match((cause as Error).message, /ended|ECONN/);
        }
        await sleep(5);
      }
    });
    await ended;
    service.now = await home.run();
    const seen = asked.answers;
    while (asked.answers < seen + 20) await sleep(5);
    asked.isOver = true;
    await Promise.all(asking);
  }
  ok(asked.answers >= 80);
});

test('a session whose key is missing waits, and with it those who have it mounted, while others go on', async () => {
  home.configure({});
  equal(await service.now.stop('SIGTERM'), 0);
  // The set without a passphrase is there at once.
  const open = await (async () => {
    service.now = await home.run();
    match(service.now.log(), /cannot be resumed yet/);
    const { result } = await expectDone(
      holdfast('recover', 'other@latest', '--detach', '--nfs', ...OPEN_NFS, ...ANY),
    );
    return result as unknown as Started;
  })();
  await using client = await rpcClient(open.nfs.ports.nfs);
  const { result } = await expectDone(holdfast('session', 'list'));
  const [waiting] = (result['sessions'] as { session: string; waits: string | null }[]).filter(
    ({ waits }) => waits !== null,
  );
  const vain = rejects(client.mount(`/holdfast/${waiting!.session}`), /ended/);
  await diskOf(client, open);
  home.configure({ passphraseFiles: { nightly: home.passphrase } });
  service.now.signal('SIGHUP');
  await vain;
  await service.now.logged(new RegExp(`session ${waiting!.session} is resumed`));
  await using again = await rpcClient(open.nfs.ports.nfs);
  equal((await again.mount(`/holdfast/${waiting!.session}`)).status, 0);
  equal(await service.now.stop('SIGTERM'), 0);
});
