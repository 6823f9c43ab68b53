import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { certificateDirectory } from '../support/certificates.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtTls } from '../support/libvirt-tls.ts';
import { enterOwnNetwork } from '../support/own-network.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A machine of a host that is reached through libvirtd's TLS port alone: both sides prove who they are, libvirtd's and
// QEMU's.

const MIB = 2 ** 20;
const URI = 'qemu+tls://127.0.0.1/system';
const skip = libvirtMissing || without('openssl') || enterOwnNetwork();

test('a machine on another host is backed up through TLS', {
  skip,
  timeout: 240_000,
}, async (t) => {
  await using host = await libvirtHost();
  const tls = await libvirtTls(host);
  await tls.set();
  const root = temporaryDirectory();
  const store = join(root, 'store');
  const holdfast = (...words: readonly string[]) => runCli([...words, '--store', store, '--json']);
  const own = (name: string): string => join(root, name);
  for (const name of ['ca-cert.pem', 'client-cert.pem', 'client-key.pem']) {
    copyFileSync(join(tls.certificates, name), own(name));
    chmodSync(own(name), 0o600);
  }
  const pair = [
    '--client-certificate',
    own('client-cert.pem'),
    '--client-key',
    own('client-key.pem'),
  ];
  const ca = ['--ca', own('ca-cert.pem')];
  await expectDone(holdfast('store', 'create', store));
  await expectDone(holdfast('set', 'create', 'nightly'));
  const disk = await host.disk('web1.qcow2', { size: 16 * MIB, isBlank: true });
  await host.define({ name: 'web1', disks: [{ target: 'vda', path: disk }], agent: 'none' });
  await host.virsh('start', '--paused', 'web1');
  const write = (pattern: number) =>
    host.virsh(
      'qemu-monitor-command',
      'web1',
      '--hmp',
      `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P ${pattern} 0 1M"`,
    );
  const backUp = () => holdfast('backup', 'create', 'nightly', '--from', 'kvm1/web1');
  const shown = await program(
    ...(['openssl', 'x509', '-noout', '-fingerprint', '-sha256', '-in'] as const),
    join(tls.certificates, 'server-cert.pem'),
  );
  const fingerprint = shown.trim().split('=')[1]!;

  await t.test(
    'it is added only with a certificate, and with one that the server shows',
    async () => {
      match(
        (await holdfast('hypervisor', 'add', 'kvm1', URI, ...ca)).stderr,
        /--client-certificate/,
      );
      const other = fingerprint.replace(/^../, fingerprint.startsWith('00') ? '01' : '00');
      const add = ['hypervisor', 'add', 'kvm1', URI, ...pair];
      match((await holdfast(...add, '--host-key', other)).stderr, /no host key 0/);
      match((await holdfast(...add)).stderr, new RegExp(`${fingerprint}.*openssl x509`));
      chmodSync(own('client-key.pem'), 0o644);
      match((await holdfast(...add, ...ca)).stderr, /others may use it; chmod 600/);
      chmodSync(own('client-key.pem'), 0o600);
      const { result } = await expectDone(holdfast(...add, '--host-key', fingerprint));
      equal(result['fingerprint'], fingerprint);
      const files = join(process.env['HOLDFAST_STATE']!, 'hypervisors');
      for (const name of readdirSync(files))
        equal(statSync(join(files, name)).mode & 0o077, 0, name);
      ok(!readFileSync(join(files, 'kvm1.json'), 'utf8').includes('PRIVATE'));
    },
  );

  await t.test('QEMU that serves no TLS, or any client, is refused with what to do', async () => {
    match((await backUp()).stderr, /backup_tls_x509_cert_dir/);
    const directory = `backup_tls_x509_cert_dir = "${tls.certificates}"`;
    await tls.set(directory, 'backup_tls_x509_verify = 0');
    const { code, stderr } = await backUp();
    ok(code !== 0);
    match(stderr, /QEMU on 127\.0\.0\.1 serves disks to any client/);
    match(await host.virsh('domjobinfo', 'web1'), /None/);
    await tls.set(directory);
  });

  await t.test('a full backup, and an increment, with all that the disk has', async () => {
    const scopes: string[] = [];
    for (const pattern of [1, 2]) {
      await write(pattern);
      const { result } = await expectDone(backUp());
      const [made] = result['points'] as { point: string; scopes: { scope: string }[] }[];
      scopes.push(made!.scopes.map(({ scope }) => scope).join());
      const to = own(`${pattern}.raw`);
      await expectDone(holdfast('restore', 'disk', made!.point, 'vda', '--to', to));
      const bytes = readFileSync(to);
      ok(bytes.subarray(0, MIB).every((it) => it === pattern));
      ok(bytes.subarray(MIB).every((it) => it === 0));
    }
    deepEqual(scopes, ['all', 'changes']);
  });

  await t.test('what an interrupted backup left is ended by the next one', async () => {
    const mark = /^holdfast-[^-]+/.exec(await host.virsh('checkpoint-list', 'web1', '--name'))![0];
    const file = own('left.xml');
    const server = `<server transport='tcp' tls='yes' name='127.0.0.1' port='10809'/>`;
    const scratch = `<scratch file='${disk}.scratch'/>`;
    const named = `exportname='${mark}-abcdef/vda'`;
    const exported = `<disk name='vda' backup='yes' type='file' ${named}>${scratch}</disk>`;
    writeFileSync(
      file,
      `<domainbackup mode='pull'>${server}<disks>${exported}</disks></domainbackup>`,
    );
    await host.virsh('backup-begin', 'web1', file);
    match((await expectDone(backUp())).stdout, /an unfinished backup was ended/);
  });

  await t.test('a port that is in use is passed over', async () => {
    const server = createServer().listen(10_809, '127.0.0.1');
    await once(server, 'listening');
    try {
      await expectDone(backUp());
    } finally {
      server.close();
    }
  });

  await t.test('another certificate is refused, and the authority takes its place', async () => {
    const others = join(root, 'others');
    await certificateDirectory(others, 'IP:127.0.0.1');
    const change = ['hypervisor', 'change', 'kvm1'];
    await expectDone(holdfast(...change, '--ca', join(others, 'ca-cert.pem')));
    match((await backUp()).stderr, /not trusted.*hypervisor change kvm1 --ca FILE/);
    await expectDone(holdfast(...change, ...ca));
    await expectDone(backUp());
    const stranger = ['client-cert.pem', 'client-key.pem'].map((name) => join(others, name));
    chmodSync(stranger[1]!, 0o600);
    await expectDone(
      holdfast(...change, '--client-certificate', stranger[0]!, '--client-key', stranger[1]!),
    );
    match((await backUp()).stderr, /does not accept our certificate/);
  });
});
