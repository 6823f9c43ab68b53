import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { parseHypervisorUri, type SshTarget } from '../../src/hypervisors/base/target.ts';
import { openLibvirt } from '../../src/hypervisors/drivers/libvirt.ts';
import { sshWay } from '../../src/hypervisors/libvirt/ssh-way.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { realWorld } from '../../src/sys/world.ts';
import { checkDisks, expectSound } from '../support/checked-guest.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { type LibvirtHost, libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { runThroughSsh } from './libvirt-ssh-runs.ts';
import { libvirtSshd, libvirtSshdMissing } from '../support/libvirt-sshd.ts';
import { enterOwnNetwork } from '../support/own-network.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// A machine of a host that is reached through SSH alone, by an account that may do what the printed steps give it: the
// steps are carried out as they are printed.

const MIB = 2 ** 20;
const ACCOUNT = 'holdfast';
const skip = libvirtMissing || libvirtSshdMissing || enterOwnNetwork();

async function inside(host: LibvirtHost, script: string): Promise<string> {
  const [enter = '', ...args] = host.command('sh', '-euc', script);
  return program(enter, ...args);
}

/** Accounts of that host's own, and libvirt's socket as Debian has it. */
async function likeAHost(host: LibvirtHost): Promise<void> {
  const { directory } = host;
  await inside(
    host,
    `cp -a /etc ${directory}/all-etc; mount --bind ${directory}/all-etc /etc
    mkdir -m 755 ${directory}/home; mount --bind ${directory}/home /home
    chgrp libvirt /run/libvirt/libvirt-sock; chmod 770 /run/libvirt/libvirt-sock`,
  );
}

/** Its fingerprint. */
async function hostKey(file: string): Promise<string> {
  await program('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', file);
  return (await program('ssh-keygen', '-lf', `${file}.pub`)).split(' ')[1]!;
}

/** Ports of this network on which a program listens. */
function listening(): readonly number[] {
  const LISTEN = '0A';
  return ['tcp', 'tcp6'].flatMap((it) =>
    readFileSync(`/proc/net/${it}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === LISTEN)
      .map(([, local = '']) => Number.parseInt(local.split(':').at(-1)!, 16)),
  );
}

test('a machine on another host is backed up through SSH alone', {
  skip,
  timeout: 240_000,
}, async (t) => {
  await using host = await libvirtHost();
  await likeAHost(host);
  const root = temporaryDirectory();
  const store = join(root, 'store');
  const holdfast = (...words: readonly string[]) => runCli([...words, '--store', store, '--json']);
  const file = (name: string): string => join(root, name);
  const [ours, other] = [await hostKey(file('host')), await hostKey(file('other'))];
  const settings = { Port: 22, Include: '/etc/ssh/sshd_config.d/*.conf' };
  let sshd = await libvirtSshd(host, { ...settings, HostKey: file('host') });
  await expectDone(holdfast('store', 'create', store));
  await expectDone(holdfast('set', 'create', 'nightly'));
  const disk = await host.disk('web1-vda.qcow2', { size: 64 * MIB });
  const web1 = await host.define({ name: 'web1', disks: [{ target: 'vda', path: disk }] });
  await web1.start();
  const add = (key: string) =>
    holdfast(
      ...['hypervisor', 'add', 'kvm1', `qemu+ssh://${ACCOUNT}@127.0.0.1/system`],
      ...['--host-key', key],
    );

  await t.test('it is added by its host key, and prepared by the printed steps', async () => {
    match((await add(other)).stderr, /no host key SHA256/);
    const { result } = await expectDone(add(ours));
    // Without PAM, sshd takes the account of a new user without a password for a locked one.
    const printed = (result['steps'] as string[]).map((it) =>
      it === 'systemctl reload ssh' ? `kill -HUP $(cat ${host.directory}/sshd.pid)` : it,
    );
    const steps = [...printed, `usermod -p '*' ${ACCOUNT}`];
    await inside(host, steps.join('\n'));
  });

  const points: { readonly point: string; readonly durable: number }[] = [];
  async function backUp(): Promise<string> {
    const durable = await web1.durable(2);
    const { result } = await expectDone(
      holdfast('backup', 'create', 'nightly', '--from', 'kvm1/web1'),
    );
    type Made = { readonly point: string; readonly scopes: readonly { readonly scope: string }[] };
    const [made] = result['points'] as readonly Made[];
    points.push({ point: made!.point, durable });
    return made!.scopes.map(({ scope }) => scope).join();
  }

  await t.test('a full backup, and an increment; no port is open for them', async () => {
    const seen = new Set<number>();
    const look = setInterval(() => listening().forEach((it) => seen.add(it)), 20);
    equal(await backUp(), 'all');
    equal(await backUp(), 'changes');
    clearInterval(look);
    deepEqual([...seen], [22]);
    // The way ends with its backup.
    const ended = async () => (await inside(host, `pgrep -u ${ACCOUNT} -l || true`)).trim() === '';
    await until('they end', ended);
  });

  await t.test('each recovery point has all records that were durable before it', async () => {
    for (const { point, durable } of points) {
      const to = file(`${point}.raw`);
      await expectDone(holdfast('restore', 'disk', point, 'vda', '--to', to));
      expectSound(await checkDisks({ file: to, format: 'raw' }), durable);
    }
  });

  const directory = join(process.env['HOLDFAST_STATE']!, 'hypervisors');
  const ssh: SshTarget = {
    ...{ account: ACCOUNT, host: '127.0.0.1', port: 22, alias: 'kvm1' },
    key: join(directory, 'kvm1.key'),
    knownHosts: join(directory, 'kvm1.known_hosts'),
  };
  await t.test(
    'what the account cannot open there comes through libvirt',
    {
      skip: without('swtpm'),
    },
    (it) => throughLibvirt(it, { host, holdfast, ssh }),
  );

  await t.test(
    'a machine there runs on a disk that is served here, also after a loss',
    async () => {
      const image = file(`${points.at(-1)!.point}.raw`);
      await runThroughSsh({ host, ssh, account: ACCOUNT, image });
    },
  );

  const notices: string[] = [];
  const options = {
    disk: 'vda',
    signal: AbortSignal.timeout(60_000),
    onNotice: (it: string) => void notices.push(it),
  };
  const way = (target: SshTarget) => sshWay(target, host.sockets, systemClock());

  await t.test('what stands in the way is said, with what to do', async () => {
    const missing = join(host.sockets, 'missing.sock');
    await rejects(way(ssh).open(missing, options), {
      code: 'DENIED',
      message: /AllowStreamLocalForwarding/,
    });
    const knownHosts = file('wrong');
    writeFileSync(knownHosts, `kvm1 ${readFileSync(file('other.pub'), 'utf8')}`);
    await rejects(way({ ...ssh, knownHosts }).open(missing, options), { code: 'IDENTITY' });
    await rejects(way({ ...ssh, key: file('other') }).open(missing, options), { code: 'AUTH' });
    await rejects(way({ ...ssh, port: 23 }).open(missing, options), { code: 'UNREACHABLE' });
    await rejects(way(ssh).open('/a:b', options), { code: 'UNSUPPORTED' });
    await rejects(
      way(ssh).open(missing, { ...options, signal: AbortSignal.abort(new Error('no')) }),
      {
        message: 'no',
      },
    );
  });

  await t.test('a connection that is lost is reported, and ends what goes through it', async () => {
    const remote = join(host.sockets, 'speaks.sock');
    const server = createServer((it) => it.on('error', () => {}).write('NBDMAGIC')).listen(remote);
    await until('it listens', () => server.listening);
    chmodSync(remote, 0o777);
    await using open = await way(ssh).open(remote, options);
    const socket = new URL(open.uri('vda')).searchParams.get('socket')!;
    const stream = connect(socket).on('error', () => {});
    stream.resume();
    deepEqual(notices, []);
    await inside(host, `pkill -KILL -u ${ACCOUNT}`);
    await until('the notice', () => notices.length > 0 && stream.destroyed);
    match(notices.join(), /the way to the disks is lost: .*127\.0\.0\.1/);
    server.close();
  });

  await t.test('a restore names it by its address alone, once its key is there', async () => {
    const uri = `qemu+ssh://${ACCOUNT}@127.0.0.1:22/system`;
    const to = ['--to', uri, '--as', 'spare', '--host-key', ours, '--name', 'web2', '--dry-run'];
    const restore = () => holdfast('restore', 'machine', points[0]!.point, ...to);
    const refused = String((await restore()).result['message']);
    const [line] = /^restrict,.*$/m.exec(refused)!;
    await inside(host, `echo '${line}' >>~${ACCOUNT}/.ssh/authorized_keys`);
    const { stdout } = await restore();
    match(stdout, /"hypervisor":"spare"/);
    match(stdout, /it gets a new UUID, .*: another machine has/);
  });

  await t.test('another host key is refused', async () => {
    await sshd[Symbol.asyncDispose]();
    sshd = await libvirtSshd(host, { ...settings, HostKey: file('other') });
    const { code, stderr } = await holdfast('backup', 'create', 'nightly', '--from', 'kvm1/web1');
    ok(code !== 0);
    match(stderr, /another host key/);
  });
});

interface There {
  readonly host: LibvirtHost;
  readonly ssh: SshTarget;
  holdfast(...words: readonly string[]): ReturnType<typeof runCli>;
}

/** Variables of firmware and the state of a TPM are read, and what a crash has left is removed. */
async function throughLibvirt(t: Test, { host, ssh, holdfast }: There): Promise<void> {
  const path = await host.disk('uefi1-vda.qcow2', { size: MIB, isBlank: true });
  const disks = [{ target: 'vda', path }];
  await host.define({ name: 'uefi1', disks, isUefi: true, hasTpm: true, agent: 'none' });
  // Its firmware would take longer than all the rest.
  await host.virsh('start', '--paused', 'uefi1');
  const uuid = (await host.virsh('domuuid', 'uefi1')).trim();
  const mark = /^holdfast-[^-]+/.exec(await host.virsh('checkpoint-list', 'web1', '--name'))![0];
  const variables = host.path('/var/lib/libvirt/qemu/nvram/uefi1_VARS.fd');
  const state = host.path(`/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`);

  async function pool(name: string, directory: string): Promise<void> {
    const file = join(host.directory, 'pool.xml');
    const target = `<target><path>${directory}</path></target>`;
    writeFileSync(file, `<pool type='dir'><name>${name}</name>${target}</pool>`);
    await host.virsh('pool-create', file);
  }
  const backUp = () => holdfast('backup', 'create', 'nightly', '--from', 'kvm1/uefi1');
  type Files = readonly { readonly name: string; readonly size: number }[];
  async function filesOf(made: ReturnType<typeof backUp>): Promise<Files> {
    const { result } = await expectDone(made);
    const [{ point } = { point: '' }] = result['points'] as readonly { readonly point: string }[];
    return (await expectDone(holdfast('backup', 'show', point))).result['files'] as Files;
  }

  await t.test('they are in the recovery point, byte by byte', async () => {
    const files = await filesOf(backUp());
    deepEqual(
      files.slice(2).map(({ name, size }) => [name, size]),
      [
        ['firmware-variables', statSync(variables).size],
        ['tpm-state', statSync(state).size],
      ],
    );
    const options = { ...realWorld(), name: 'kvm1', owner: 'other', scratch: undefined };
    const uri = parseHypervisorUri(`qemu+ssh://${ACCOUNT}@127.0.0.1/system`)!;
    const signal = AbortSignal.timeout(60_000);
    await using there = await openLibvirt(
      { ...options, sockets: undefined, target: { uri, ssh } },
      signal,
    );
    const described = await there.describe(uuid, signal);
    const [, ...read] = await Promise.all(described.files.map((it) => it.read(signal)));
    ok(readFileSync(variables).equals(read[0]!));
    ok(readFileSync(state).equals(read[1]!));
    equal((await host.virsh('pool-list', '--all', '--name')).trim(), '');
  });

  await t.test('left scratch files go, and those of others stay; so do left pools', async () => {
    const left = `${path}.${mark}-x.scratch`;
    const others = [
      `${path}.holdfast-other-x.scratch`,
      join(host.directory, `b.${mark}-x.scratch`),
    ];
    for (const file of [left, ...others]) writeFileSync(file, 'overwritten');
    // A pool that a broken connection left for this machine, and one of another backup that runs.
    await pool(`${mark}-files-${uuid}`, join(host.directory, 'sockets'));
    await pool(`${mark}-files-another`, host.directory);
    const made = backUp();
    const { stdout } = await made;
    match(stdout, /uefi1-vda\.qcow2\.holdfast-\S+-x\.scratch, which .* was removed/);
    equal((await filesOf(made)).length, 4);
    deepEqual([left, ...others].map(existsSync), [false, true, true]);
    equal((await host.virsh('pool-list', '--name')).trim(), `${mark}-files-another`);
    await host.virsh('pool-destroy', `${mark}-files-another`);
  });

  await t.test(
    'a file that cannot be had is reported, and the backup is made without it',
    async () => {
      await inside(host, `rm /var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`);
      const made = backUp();
      match((await made).stdout, /state of its TPM is not in the recovery point: libvirt does not/);
      equal((await filesOf(made)).length, 3);
    },
  );
  await host.virsh('destroy', 'uefi1');
}
