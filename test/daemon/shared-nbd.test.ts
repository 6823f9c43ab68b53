import { deepEqual, doesNotMatch, match, rejects } from 'node:assert/strict';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { selfSigned } from '../support/certificates.ts';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { program, without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { alarmed, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// The service's NBD server for the disks of all sessions.

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 4 * 2 ** 20, 3);
const home = serviceHome(root);
const { holdfast } = home;
const passphraseFiles = { nightly: home.passphrase };
const psk = join(root, 'keys.psk');
writeFileSync(psk, 'alice:000102030405060708090a0b0c0d0e0f\n');

interface Started {
  readonly session: string;
  readonly qemu: string;
  readonly exports: readonly { readonly uri: string }[];
}

async function recover(...more: string[]): Promise<Started> {
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach', ...more));
  return result as unknown as Started;
}

async function addressesOf({ session }: Started): Promise<string[]> {
  const { result } = await expectDone(holdfast('session', 'show', session));
  return result['addresses'] as string[];
}

const listen = 'tcp:127.0.0.1:0';

test('it is not there until settings say so', async () => {
  await using _service = await serviceWith(home, image);
  const started = await recover('--nbd', 'tcp:[::0]:0');
  deepEqual(await addressesOf(started), []);
  const any = /\[?(?:0\.0\.0\.0|::0?)\]?:\d|HOST/;
  doesNotMatch(started.qemu, any, 'all addresses are none that a client can be given');
  doesNotMatch(started.exports[0]!.uri, any);
  await expectDone(holdfast('session', 'stop', started.session));
});

test('disks of all sessions are exports of their names, and the same disks as at their own addresses', async () => {
  home.configure({ passphraseFiles, nbd: { listen } });
  await using _service = await home.run();
  const one = await recover();
  const [first] = await addressesOf(one);
  const otherName = (name: string): string => first!.replace(/\/[^/]+\/vda$/, `/${name}`);
  await rejects(openNbdDisk(otherName('')), /no such export/, 'not the only one there is either');
  const two = await recover();
  const [second] = await addressesOf(two);
  match(first!, new RegExp(`^nbd://127\\.0\\.0\\.1:\\d+/${one.session}/vda$`));
  await using disk = await openNbdDisk(first!);
  await disk.write(noise(4096, 1), 0, 'durable');
  {
    await using other = await openNbdDisk(second!);
    await other.write(noise(4096, 2), 0, 'cached');
  }
  for (const [which, { exports }] of [one, two].entries()) {
    await using own = await openNbdDisk(exports[0]!.uri);
    const got = new Uint8Array(4096);
    await own.read(got, 0);
    deepEqual(got, noise(4096, which + 1));
  }
  for (const name of ['', 'vda', `${one.session}/vdb`]) {
    await rejects(openNbdDisk(otherName(name)), /no such export/, name);
  }
  await expectDone(holdfast('session', 'stop', two.session));
  deepEqual(await addressesOf(two), []);
  await rejects(openNbdDisk(second!), /no such export/);
  await disk.read(new Uint8Array(4096), 0);
  // A session that wants TLS is not shown to those who come without.
  const secret = await recover('--tls-psk', psk);
  deepEqual(await addressesOf(secret), []);
  await rejects(openNbdDisk(first!.replace(one.session, secret.session)), /no such export/);
});

test('who is not allowed is not listened to', async () => {
  home.configure({ passphraseFiles, nbd: { listen, allow: ['192.0.2.0/24'] } });
  await using _service = await home.run();
  const [address] = await addressesOf(await recover());
  await rejects(openNbdDisk(address!), /closed|ended|ECONNRESET/);
});

test('with TLS nothing is told in the clear', { skip: without('nbdinfo') }, async () => {
  home.configure({ passphraseFiles, nbd: { listen, tls: { kind: 'psk', path: psk } } });
  await using service = await home.run();
  const secret = await recover('--tls-psk', psk);
  const [address] = await addressesOf(secret);
  match(address!, /^nbds:/);
  const uri = address!.replace('nbds://', 'nbds://alice@');
  match(await program('nbdinfo', `${uri}?tls-psk-file=${psk}`), /with TLS/);
  await rejects(openNbdDisk(address!.replace('nbds:', 'nbd:')), /TLS/);
  // Settings that change only at the next start are reported.
  home.configure({ passphraseFiles, nbd: {} });
  service.signal('SIGHUP');
  await service.logged(/"nbd" keeps its old value/);
});

test('keys for TLS are read again on a reload, and wrong ones leave those before in use', {
  skip: without('nbdinfo'),
}, async () => {
  const changing = join(root, 'changing.psk');
  const keys = { alice: '00'.repeat(16), bob: '11'.repeat(16) };
  const key = (name: keyof typeof keys): string => `${name}:${keys[name]}\n`;
  writeFileSync(changing, key('alice'));
  home.configure({ passphraseFiles, nbd: { listen, tls: { kind: 'psk', path: changing } } });
  await using service = await home.run();
  const [address] = await addressesOf(await recover());
  const own = join(root, 'client.psk');
  const reach = (name: keyof typeof keys): Promise<string> => {
    writeFileSync(own, key(name));
    return program(
      'nbdinfo',
      `${address!.replace('nbds://', `nbds://${name}@`)}?tls-psk-file=${own}`,
    );
  };
  match(await reach('alice'), /with TLS/);
  writeFileSync(changing, key('bob'));
  service.signal('SIGHUP');
  await service.logged(/the settings were read again[^]*the TLS files of "nbd" were read again/);
  match(await reach('bob'), /with TLS/);
  await rejects(reach('alice'));
  writeFileSync(changing, 'bob\n');
  service.signal('SIGHUP');
  await service.logged(/keeps using the TLS files as read before: .*changing\.psk: line 1/);
  match(await reach('bob'), /with TLS/);
  await alarmed(holdfast, /keeps using the TLS files/);
});

test('with TLS that does not authenticate clients, sessions that require TLS are not shown', {
  skip: without('openssl', 'nbdinfo'),
}, async () => {
  const [directory, client] = [join(root, 'server'), join(root, 'client')];
  for (const it of [directory, client]) mkdirSync(it);
  const certificate = join(directory, 'server-cert.pem');
  const key = join(directory, 'server-key.pem');
  await selfSigned({ certificate, key }, 'box', 'DNS:localhost');
  copyFileSync(certificate, join(client, 'ca-cert.pem'));
  home.configure({ passphraseFiles, nbd: { listen, tls: { kind: 'x509', directory } } });
  {
    await using _service = await home.run();
    const [plain, secret] = [await recover(), await recover('--tls-psk', psk)];
    deepEqual(await addressesOf(secret), []);
    const [address] = await addressesOf(plain);
    const server = address!.replace('127.0.0.1', 'localhost').replace(/\/[^/]+\/vda$/, '/');
    const told = await program('nbdinfo', '--list', `${server}?tls-certificates=${client}`);
    match(told, new RegExp(`export="${plain.session}/vda"`));
    doesNotMatch(told, new RegExp(secret.session));
  }
  copyFileSync(certificate, join(directory, 'ca-cert.pem'));
  await using service = await home.run();
  const [address] = await addressesOf(await recover('--tls-psk', psk));
  match(address!, /^nbds:/);
  // From then on clients would not be asked who they are.
  rmSync(join(directory, 'ca-cert.pem'));
  service.signal('SIGHUP');
  await service.logged(/authenticates clients only changes when the service restarts/);
});

test('settings that cannot be are refused, where there are none from before', async () => {
  for (const [nbd, message] of [
    [{ listen: 'unix:/x' }, /nbd\.listen: not "tcp:HOST:PORT"/],
    [{ listen, allow: ['10.0.0.0/33'] }, /neither an address nor a network/],
  ] as const) {
    const fresh = serviceHome(temporaryDirectory());
    fresh.configure({ passphraseFiles, nbd });
    const environment = { HOLDFAST_STATE: temporaryDirectory() };
    await rejects(fresh.run({ environment }), message);
  }
});
