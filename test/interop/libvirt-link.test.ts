import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { LIBVIRT_ERRORS, parameterValues } from '../../src/formats/wire/libvirt.ts';
import {
  LIBVIRT_CALLS as CALLS,
  LIBVIRT_FLAGS as FLAGS,
} from '../../src/formats/wire/libvirt-calls.ts';
import { parseHypervisorUri, type SshTarget } from '../../src/hypervisors/base/target.ts';
import { LIBVIRT_HELPER } from '../../src/hypervisors/libvirt/channel.ts';
import { isNumber } from '../../src/hypervisors/libvirt/libvirt-error.ts';
import { type Link, openLink } from '../../src/hypervisors/libvirt/link.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { type LibvirtHost, libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { program, without } from '../support/programs.ts';
import { until } from '../support/until.ts';

// Our connection to libvirt against a real one: each call, events, and the way through a real SSH server. virsh is the
// witness.

const MIB = 2 ** 20;
const UUID = '5e1fc4ec-0000-4000-8000-0000000000aa';
const MARK = 'https://holdfast.example/mark';

function open(uri: string, ssh?: SshTarget): Promise<Link> {
  const options = { clock: systemClock(), signal: AbortSignal.timeout(60_000) };
  return openLink({ uri: parseHypervisorUri(uri)!, ssh }, options);
}

/** A machine without anything to boot. */
async function define(host: LibvirtHost, disk: string): Promise<void> {
  const xml = `<domain type='qemu'><name>bare</name><uuid>${UUID}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/>
    <target dev='vda' bus='virtio'/></disk><memballoon model='none'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`;
  const file = join(host.directory, 'bare.xml');
  writeFileSync(file, xml);
  await host.virsh('define', '--validate', file);
}

test('libvirt is asked, told and listened to', {
  skip: libvirtMissing,
  timeout: 240_000,
}, async (t) => {
  await using host = await libvirtHost();
  const disk = await host.disk('bare.qcow2', { size: 16 * MIB, isBlank: true });
  await define(host, disk);
  await using link = await open(host.uri);

  await t.test('the host and its machines are as virsh says', async () => {
    const version = await link.call(CALLS.libVersion, undefined);
    const text = `${Math.floor(version / 1e6)}.${Math.floor(version / 1000) % 1000}.${version % 1000}`;
    match(
      await host.virsh('version'),
      new RegExp(`Using library: libvirt ${text.replaceAll('.', '\\.')}`),
    );
    equal(await link.call(CALLS.hostname, undefined), (await host.virsh('hostname')).trim());
    equal(
      (await link.call(CALLS.capabilities, undefined)).trim(),
      (await host.virsh('capabilities')).trim(),
    );
    const { domains } = await link.call(CALLS.listDomains, { wanted: 1, flags: 0 });
    deepEqual(domains, [{ name: 'bare', uuid: UUID, id: -1 }]);
    const { off, running } = FLAGS.listDomains;
    equal((await link.call(CALLS.listDomains, { wanted: 1, flags: off })).domains.length, 1);
    equal((await link.call(CALLS.listDomains, { wanted: 1, flags: running })).domains.length, 0);
    const domain = await link.call(CALLS.domainByUuid, { uuid: UUID });
    deepEqual(await link.call(CALLS.domainByName, { name: 'bare' }), domain);
    const flags = FLAGS.domainXml.secure | FLAGS.domainXml.inactive;
    const xml = await host.virsh('dumpxml', '--inactive', '--security-info', 'bare');
    equal((await link.call(CALLS.domainXml, { domain, flags })).trim(), xml.trim());
    deepEqual((await link.call(CALLS.domainState, { domain, flags: 0 })).state, 'off');
    equal(await link.call(CALLS.isPersistent, { domain }), 1);
    await host.virsh('autostart', 'bare');
    equal(await link.call(CALLS.autostart, { domain }), 1);
    const { capacity } = await link.call(CALLS.diskInfo, { domain, disk: 'vda', flags: 0 });
    equal(capacity, 16 * MIB);
  });

  await t.test('a machine carries our mark, and a volume is found by its path', async () => {
    const domain = await link.call(CALLS.domainByName, { name: 'bare' });
    const about = {
      domain,
      type: FLAGS.metadataType.element,
      uri: MARK,
      flags: FLAGS.metadata.config,
    };
    const mark = { ...about, metadata: `<mark point='p1'/>`, key: 'holdfast' };
    await link.call(CALLS.setMetadata, mark);
    match(await link.call(CALLS.metadata, about), /<mark point=["']p1["']/);
    match(await host.virsh('metadata', 'bare', '--uri', MARK), /point=["']p1["']/);
    await link.call(CALLS.setMetadata, { ...mark, metadata: undefined });
    const gone = await link.call(CALLS.metadata, about).catch((error: unknown) => error);
    ok(isNumber(gone, LIBVIRT_ERRORS.noMetadata), String(gone));
    const none = await link
      .call(CALLS.volumeByPath, { path: disk })
      .catch((error: unknown) => error);
    ok(isNumber(none, LIBVIRT_ERRORS.noVolume), String(none));
    await host.virsh('pool-create-as', 'here', 'dir', '--target', host.directory);
    const volume = await link.call(CALLS.volumeByPath, { path: disk });
    deepEqual(volume, { pool: 'here', name: 'bare.qcow2', key: disk });
    const info = await link.call(CALLS.volumeInfo, { volume });
    deepEqual([info.type, info.capacity], ['file', 16 * MIB]);
    match(await link.call(CALLS.volumeXml, { volume, flags: 0 }), /<format type='qcow2'\/>/);
  });

  await t.test('a backup begins, is seen and ends, and its events come', async () => {
    const events: string[] = [];
    const heard: number[] = [];
    await link.listen('lifecycle', (it) => events.push(`${it.domain.name} ${it.event}`));
    await link.listen('block-job', (it) => events.push(`${it.disk} ${it.type} ${it.status}`));
    await link.listen('agent', () => {});
    await link.listen('io-error', () => {});
    await link.listen('job-completed', (it) =>
      heard.push(Number(parameterValues(it.parameters).get('operation'))),
    );
    const off = await link.call(CALLS.domainByName, { name: 'bare' });
    const domain = await link.call(CALLS.createDomain, { domain: off, flags: 0 });
    ok(domain.id > 0);
    const target = `<server transport='unix' socket='${join(host.sockets, 'nbd')}'/>`;
    const backup = `<domainbackup mode='pull'>${target}</domainbackup>`;
    const checkpoint = '<domaincheckpoint><name>holdfast-1</name></domaincheckpoint>';
    await link.call(CALLS.beginBackup, { domain, backup, checkpoint, flags: 0 });
    match(await link.call(CALLS.backupXml, { domain, flags: 0 }), /exportbitmap|index=/);
    equal((await link.call(CALLS.jobInfo, { domain })).type, 'unbounded');
    const stats = await link.call(CALLS.jobStats, { domain, flags: 0 });
    equal(parameterValues(stats.parameters).get('operation'), 9);
    const flags = FLAGS.checkpoints.topological;
    const { all } = await link.call(CALLS.checkpoints, { domain, wanted: 1, flags });
    deepEqual(all, [{ name: 'holdfast-1', domain }]);
    const [named = all[0]!] = all;
    deepEqual(
      await link.call(CALLS.checkpointByName, { domain, name: 'holdfast-1', flags: 0 }),
      named,
    );
    await link.call(CALLS.abortJob, { domain }, undefined, { isUrgent: true });
    await until(
      'the events of the backup',
      () => heard.length > 0 && events.length > 2,
      () => events.join(),
    );
    deepEqual(heard, [9]);
    deepEqual(events.toSorted(), ['bare resumed', 'bare started', 'vda backup cancelled']);

    const withoutDomain = FLAGS.checkpointXml.withoutDomain;
    const xml = await link.call(CALLS.checkpointXml, { named, flags: withoutDomain });
    const { metadataOnly } = FLAGS.deleteCheckpoint;
    await link.call(CALLS.deleteCheckpoint, { named, flags: metadataOnly });
    const { redefine, validate } = FLAGS.createCheckpoint;
    const again = await link.call(CALLS.createCheckpoint, {
      domain,
      xml,
      flags: redefine | validate,
    });
    deepEqual(again, named);
    await link.call(CALLS.deleteCheckpoint, { named, flags: 0 });
    const lost = await link
      .call(CALLS.checkpointByName, { domain, name: 'holdfast-1', flags: 0 })
      .catch((error: unknown) => error);
    ok(isNumber(lost, LIBVIRT_ERRORS.noCheckpoint), String(lost));
  });

  await t.test('internal snapshots are listed', async () => {
    const domain = await link.call(CALLS.domainByName, { name: 'bare' });
    await host.virsh('snapshot-create-as', 'bare', 'before');
    const { internal, external } = FLAGS.snapshots;
    const list = (flags: number) => link.call(CALLS.snapshots, { domain, wanted: 1, flags });
    deepEqual((await list(internal)).all, [{ name: 'before', domain }]);
    deepEqual((await list(external)).all, []);
    const named = { name: 'before', domain };
    match(
      await link.call(CALLS.snapshotXml, { named, flags: 0 }),
      /<memory snapshot='internal'\/>/,
    );
    await host.virsh('snapshot-delete', 'bare', 'before');
  });

  await t.test('a guest without an agent is refused by a number', async () => {
    const domain = await link.call(CALLS.domainByName, { name: 'bare' });
    const about = { domain, flags: 0 };
    const command = { ...about, command: '{"execute":"guest-ping"}', timeoutSeconds: 5 };
    const asked = [
      link.call(CALLS.freeze, { ...about, mounts: [] }),
      link.call(CALLS.thaw, { ...about, mounts: [] }),
      link.call(CALLS.guestInfo, { ...about, types: FLAGS.guestInfo.os }),
      link.call(CALLS.agentCommand, command),
    ];
    for (const it of await Promise.allSettled(asked)) {
      const { reason } = it as PromiseRejectedResult;
      ok(isNumber(reason, LIBVIRT_ERRORS.agentUnresponsive), String(reason));
    }
  });

  await t.test('a machine that was started for us alone goes with the connection', async () => {
    await host.virsh('destroy', 'bare');
    const other = await open(host.uri);
    const domain = await other.call(CALLS.domainByName, { name: 'bare' });
    const flags = FLAGS.createDomain.paused | FLAGS.createDomain.autoDestroy;
    const started = await other.call(CALLS.createDomain, { domain, flags });
    equal((await other.call(CALLS.domainState, { domain: started, flags: 0 })).state, 'paused');
    await other[Symbol.asyncDispose]();
    await until(
      'it is off',
      async () => (await host.virsh('domstate', 'bare')).trim() === 'shut off',
    );
  });

  await t.test('how long a call takes', async () => {
    const begun = performance.now();
    for (let i = 0; i < 200; i++) await link.call(CALLS.libVersion, undefined);
    t.comment(`${((performance.now() - begun) / 200).toFixed(2)} ms a call`);
  });

  await t.test(
    'libvirtd starts again: the connection says that it has ended, a new one works',
    async () => {
      await host.restart('kill');
      equal((await link.ended)?.code, 'UNREACHABLE');
      await rejects(link.call(CALLS.hostname, undefined), { code: 'UNREACHABLE' });
      await using next = await open(host.uri);
      ok(await next.call(CALLS.hostname, undefined));
    },
  );

  await t.test(
    'another host is reached through SSH, if it is the one that was added',
    { skip: without('/usr/sbin/sshd', 'ssh', 'ssh-keygen', 'virt-ssh-helper') },
    (it) => throughSsh(it, host),
  );
});

/** An SSH server beside that libvirtd, which lets our key do what Holdfast prints for it. */
async function sshServer(host: LibvirtHost, command: string): Promise<SshTarget> {
  const directory = join(host.directory, 'ssh key%s');
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(host.directory, 'run', 'sshd'), { recursive: true, mode: 0o755 });
  const file = (name: string): string => join(directory, name);
  for (const name of ['host', 'key', 'other']) {
    await program('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file(name));
  }
  const publicKey = (name: string): string => readFileSync(file(`${name}.pub`), 'utf8');
  writeFileSync(file('authorized'), `restrict,command="${command}" ${publicKey('key')}`);
  writeFileSync(file('known'), `kvm1 ${publicKey('host')}`);
  writeFileSync(file('wrong'), `kvm1 ${publicKey('other')}`);
  const port = await freePort();
  const settings = {
    ...{ Port: port, ListenAddress: '127.0.0.1', HostKey: `"${file('host')}"`, PidFile: 'none' },
    // A token there, too.
    AuthorizedKeysFile: `"${file('authorized').replaceAll('%', '%%')}"`,
    ...{ StrictModes: 'no', UsePAM: 'no', PermitRootLogin: 'prohibit-password' },
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`);
  writeFileSync(file('config'), lines.join(''));
  const [enter = '', ...args] = host.command('/usr/sbin/sshd', '-D', '-e', '-f', file('config'));
  const child = spawn(enter, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  await until(
    'sshd listens',
    () => said.includes('Server listening'),
    () => said,
  );
  const at = { account: 'root', host: '127.0.0.1', port, alias: 'kvm1' };
  return { ...at, key: file('key'), knownHosts: file('known') };
}

function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address() as { port: number };
    server.close(() => resolve(port));
  });
  return promise;
}

async function throughSsh(t: Test, host: LibvirtHost): Promise<void> {
  const ssh = await sshServer(host, LIBVIRT_HELPER);
  const uri = `qemu+ssh://root@127.0.0.1:${ssh.port}/system`;

  await t.test('calls go there', async () => {
    const begun = performance.now();
    await using link = await open(uri, ssh);
    t.comment(`open through SSH: ${(performance.now() - begun).toFixed(0)} ms`);
    equal(await link.call(CALLS.hostname, undefined), (await host.virsh('hostname')).trim());
    const again = performance.now();
    for (let i = 0; i < 100; i++) await link.call(CALLS.libVersion, undefined);
    t.comment(`${((performance.now() - again) / 100).toFixed(2)} ms a call through SSH`);
  });

  await t.test('another host key is refused', async () => {
    const knownHosts = ssh.knownHosts.replace(/known$/, 'wrong');
    await rejects(open(uri, { ...ssh, knownHosts }), {
      code: 'IDENTITY',
      message: /another host key/,
    });
  });

  await t.test('a key that it does not know is refused', async () => {
    const key = ssh.key.replace(/key$/, 'other');
    await rejects(open(uri, { ...ssh, key }), { code: 'AUTH', message: /does not accept our key/ });
  });

  await t.test('a host that is not there is said to be so', async () => {
    const port = await freePort();
    await rejects(open(uri, { ...ssh, port }), { code: 'UNREACHABLE', message: /refused/ });
  });

  await t.test('libvirtd that ends there ends the connection', async () => {
    const link = await open(uri, ssh);
    await host.restart('kill');
    equal((await link.ended)?.code, 'UNREACHABLE');
    await link[Symbol.asyncDispose]();
  });

  await t.test('a host without the helper is told apart', async () => {
    const authorized = ssh.key.replace(/key$/, 'authorized');
    const text = readFileSync(authorized, 'utf8');
    writeFileSync(authorized, text.replace(LIBVIRT_HELPER, 'no-such-helper'));
    await rejects(open(uri, ssh), { code: 'UNSUPPORTED', message: /no virt-ssh-helper/ });
  });
}
