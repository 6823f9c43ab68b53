import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { test } from 'tap';
import { connect } from '../../../src/engine/hypervisors/connect.ts';
import { add, change, identify, show } from '../../../src/engine/hypervisors/managed.ts';
import { certificateDirectory } from '../../support/certificates.ts';
import { failing, managedHome, NO_FILES, WORK } from '../../support/hypervisors.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// Hypervisors that are reached through TLS: what proves that they are meant, and where our key lies.

const skip = without('openssl');

async function place() {
  const root = temporaryDirectory();
  const own = join(root, 'own');
  await certificateDirectory(own, 'IP:127.0.0.1');
  const file = (name: string): string => join(own, `${name}.pem`);
  for (const name of readdirSync(own)) chmodSync(join(own, name), 0o600);
  const server = createServer({
    key: readFileSync(file('server-key')),
    cert: readFileSync(file('server-cert')),
  });
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const usual = { hostKey: undefined, sockets: undefined, scratch: undefined };
  return {
    ...{ file, uri: `fake+tls://127.0.0.1:${port}/system` },
    home: managedHome(failing('UNREACHABLE', 'it is not asked')),
    usual: { ...usual, ...NO_FILES, hypervisor: 'kvm1' },
    pair: { clientCertificate: file('client-cert'), clientKey: file('client-key') },
    [Symbol.dispose]: () => void server.close(),
  };
}

test('a certificate is pinned, and our own pair lies where only we read it', { skip }, async () => {
  using at = await place();
  const { uri, usual, pair } = at;
  const { hypervisors, directory, credentials, opened } = at.home;
  const { keys } = await identify(hypervisors, { uri }, WORK);
  const [{ type, fingerprint } = { type: '', fingerprint: '' }] = keys;
  equal(type, 'certificate');
  const request = { ...usual, ...pair, uri };
  await rejects(add(hypervisors, request, WORK), (error: Error) =>
    error.message.includes(fingerprint),
  );
  const other = fingerprint.replaceAll(/[0-9A-F]{2}/g, '00');
  await rejects(add(hypervisors, { ...request, hostKey: other }, WORK), { code: 'IDENTITY' });
  const added = await add(hypervisors, { ...request, hostKey: fingerprint }, WORK);
  deepEqual([added.fingerprint, added.authorizedKey, added.steps], [fingerprint, null, []]);
  deepEqual(await show(hypervisors, { hypervisor: 'kvm1' }, WORK), added);
  const names = readdirSync(directory).filter((it) => it.startsWith('kvm1'));
  deepEqual(names, ['kvm1.json', 'kvm1.key']);
  for (const name of names) equal(statSync(join(directory, name)).mode & 0o777, 0o600);
  ok(!readFileSync(join(directory, 'kvm1.json'), 'utf8').includes('PRIVATE'));
  const options = { owner: 'store', ...WORK };
  await rejects(connect(hypervisors, 'kvm1', options), { code: 'UNREACHABLE' });
  const server = opened.at(-1)!.target.tls!.server;
  deepEqual(
    [server.fingerprint, server.name, server.authority],
    [fingerprint, undefined, undefined],
  );
  equal(Buffer.from(server.own!.key).toString(), readFileSync(at.file('client-key'), 'utf8'));
  equal(
    Buffer.from(server.own!.certificate).toString(),
    readFileSync(at.file('client-cert'), 'utf8'),
  );

  // A credential of systemd takes the place of the file.
  mkdirSync(credentials);
  const given = join(credentials, 'holdfast-hypervisor-kvm1');
  writeFileSync(given, readFileSync(at.file('client-key')));
  await rejects(connect(hypervisors, 'kvm1', options), { message: /certificate beside our key/ });
});

test('an authority vouches for the host in the address, wherever it moves', { skip }, async () => {
  using at = await place();
  const { uri, usual, pair } = at;
  const { hypervisors, opened } = at.home;
  const ca = at.file('ca-cert');
  const added = await add(hypervisors, { ...usual, ...pair, uri, ca }, WORK);
  match(added.fingerprint!, /^[0-9A-F]{2}(:[0-9A-F]{2}){31}$/);
  // The host is not asked: what it shows is judged when it is used.
  const moved = { ...usual, uri: 'fake+tls://kvm2/system' };
  equal((await change(hypervisors, moved, WORK)).fingerprint, added.fingerprint);
  await rejects(connect(hypervisors, 'kvm1', { owner: 'store', ...WORK }), { code: 'UNREACHABLE' });
  const { server, host, port } = opened.at(-1)!.target.tls!;
  deepEqual([host, port, server.name, server.fingerprint], ['kvm2', 16_514, 'kvm2', undefined]);
  ok(Buffer.from(server.authority!).toString().includes('BEGIN CERTIFICATE'));
});

test('files that TLS cannot use are refused, and nothing is added', { skip }, async () => {
  using at = await place();
  const { uri, usual, pair } = at;
  const { hypervisors, directory } = at.home;
  const ca = at.file('ca-cert');
  const refused = (more: Partial<Parameters<typeof add>[1]>, message: RegExp) =>
    rejects(add(hypervisors, { ...usual, ...pair, uri, ca, ...more }, WORK), { message });
  await refused({ clientKey: undefined }, /both --client-certificate and --client-key/);
  await refused({ clientKey: undefined, clientCertificate: undefined }, /only with a certificate/);
  await refused({ clientKey: at.file('server-key') }, /is not the key of/);
  await refused({ ca: at.file('client-key') }, /is not a certificate in PEM/);
  await refused({ uri: 'fake:///system' }, /certificates are for addresses of TLS/);
  await refused({ uri: 'fake+tls:///system' }, /does not say which host/);
  chmodSync(at.file('client-key'), 0o640);
  await refused({}, /others may use it; chmod 600/);
  await rejects(async () => readdirSync(directory), { code: 'ENOENT' });
});
