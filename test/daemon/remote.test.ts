import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect as tlsConnect } from 'node:tls';
import tap, { test } from 'tap';
import { type CertificateFiles, selfSigned } from '../support/certificates.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { without } from '../support/programs.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';

// The service as other hosts reach it: over TLS, with a token, by other people's clients too.

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const skip = without('openssl', 'curl');
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 10);

async function certificate(name: string): Promise<CertificateFiles> {
  const files = { certificate: join(root, `${name}.pem`), key: join(root, `${name}.key`) };
  await selfSigned(files, name, 'IP:127.0.0.1');
  return files;
}

const own = skip === false ? await certificate('box') : { certificate: '', key: '' };
const other = skip === false ? await certificate('other') : own;
const home = serviceHome(root);
const listen = { address: '127.0.0.1:0', tokens: join(root, 'state', 'tokens.json') };
home.configure({ passphraseFiles: { nightly: home.passphrase }, listen: { ...listen, ...own } });
const service = skip === false ? await serviceWith(home, image) : undefined;
tap.teardown(() => service?.stop('SIGKILL'));
const port = (): number => Number(/127\.0\.0\.1, port (\d+)/.exec(service!.log())![1]);

/** A file with a new token in it. */
async function token(name: string, ...more: string[]): Promise<string> {
  const { result } = await expectDone(home.holdfast('token', 'create', name, ...more));
  const file = join(root, `token-${name}`);
  writeFileSync(file, `${result['secret'] as string}\n`);
  return file;
}

const remote = (file: string, ...words: string[]) =>
  runCli([
    ...words,
    ...['--server', `https://127.0.0.1:${port()}`, '--token-file', file],
    ...['--cafile', own.certificate, '--json'],
  ]);

interface Curled {
  readonly status: number;
  readonly body: string;
}

function curl(path: string, ...more: string[]): Curled {
  const words = ['-sS', '--cacert', own.certificate, '-w', '\n%{http_code}', ...more];
  const { stdout, stderr } = spawnSync('curl', [...words, `https://127.0.0.1:${port()}${path}`], {
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  const at = stdout.lastIndexOf('\n');
  return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) + stderr };
}

const bearer = (file: string): string[] => [
  '-H',
  `Authorization: Bearer ${readFileSync(file, 'utf8').trim()}`,
];

test('curl asks with a token, and is told nothing without one', { skip }, async () => {
  const file = await token('curl', '--may', 'look');
  const shown = curl('/v1/service/show', ...bearer(file));
  equal(shown.status, 200);
  match(shown.body, /"storeId":"/);
  match(curl('/metrics', ...bearer(file)).body, /holdfast_store_present 1/);
  match(
    curl('/v1/openapi.json', ...bearer(file)).body,
    /"securitySchemes":\{"token":\{"type":"http"/,
  );
  const paths = ['/v1/service/show', '/metrics', '/v1/openapi.json', '/', '/v1/set/create'];
  for (const [at, path] of paths.entries()) {
    // Each from another address, which has not waited yet.
    const refused = curl(path, '--interface', `127.0.0.${at + 10}`);
    equal(refused.status, 401, path);
    ok(!/store|sets/.test(refused.body.replace(/^.*token create.*$/m, '')), refused.body);
  }
  equal(
    curl('/v1/set/list', '--interface', '127.0.0.20', '-H', 'Authorization: Basic eDp5').status,
    401,
  );
  const asking = ['-X', 'OPTIONS', '-i', '-H', 'Origin: https://x.example'];
  const preflight = curl('/v1/set/create', '--interface', '127.0.0.21', ...asking);
  equal(preflight.status, 401);
  ok(!/access-control/i.test(preflight.body));
});

test('the service speaks TLS 1.3 and nothing older, and no HTTP without it', { skip }, async () => {
  const at = ['s_client', '-connect', `127.0.0.1:${port()}`, '-CAfile', own.certificate];
  const handshake = (...more: string[]) =>
    spawnSync('openssl', [...at, ...more], { input: '', encoding: 'utf8' });
  match(handshake('-tls1_3').stdout, /TLSv1\.3.*Verify return code: 0 \(ok\)/s);
  ok(handshake('-tls1_2').status !== 0);
  const plain = spawnSync('curl', ['-sS', `http://127.0.0.1:${port()}/v1/service/show`]);
  ok(plain.status !== 0);
});

test('the command line works from another host, as the token may, and the audit log says who', {
  skip,
}, async () => {
  const look = await token('looker', '--may', 'look');
  const manage = await token('manager', '--may', 'manage', '--expires', '30');
  const points = await expectDone(remote(look, 'backup', 'list'));
  equal((points.result['points'] as unknown[]).length, 1);
  match((await remote(look, 'set', 'create', 'x')).stderr, /for tokens that may manage/);
  await expectDone(remote(manage, 'set', 'create', 'remote'));
  const started = await expectDone(remote(manage, 'recover', 'vm@latest', '--detach'));
  await expectDone(remote(manage, 'session', 'discard', started.result['session'] as string)).catch(
    () => {},
  );
  for (const words of [
    ['token', 'list'],
    ['token', 'create', 'y', '--may', 'look'],
    ['ssh', 'on'],
    ['ssh', 'shell', '--for', '1h'],
    ['lockdown', 'on'],
    ['pool', 'create', '--disk', 'sdb', '--erase', 'S3'],
  ]) {
    match((await remote(manage, ...words)).stderr, /at the host itself/);
  }
  const { result } = await expectDone(home.holdfast('audit', 'show'));
  const made = (result['entries'] as Record<string, unknown>[]).find(
    ({ what, token: by }) => what === 'set/create' && by === 'manager',
  )!;
  deepEqual([made['address'], made['uid'], made['outcome']], ['127.0.0.1', null, 'begun']);
  equal((await expectDone(home.holdfast('audit', 'check'))).result['problem'], null);
});

test('files of the machine are named by no token but one that was made for it', {
  skip,
}, async () => {
  const manage = await token('careful', '--may', 'manage');
  const files = await token('trusted', '--may', 'manage', '--files');
  const to = join(root, 'restored.raw');
  const restore = ['restore', 'disk', 'vm@latest', 'vda', '--to', to];
  const refused = await remote(manage, ...restore);
  equal(refused.code, 8);
  match(refused.stderr, /is a file of the service's machine/);
  ok(!existsSync(to));
  await expectDone(remote(files, ...restore));
  ok(existsSync(to));
});

test('wrong tokens are noted, and no token is written anywhere', { skip }, async () => {
  const wrong = join(root, 'wrong');
  writeFileSync(wrong, `hft_${'x'.repeat(43)}\n`);
  for (let n = 0; n < 2; n++) equal((await remote(wrong, 'set', 'list')).code, 8);
  const { result } = await expectDone(home.holdfast('audit', 'show'));
  const noted = JSON.stringify(result['entries']);
  match(noted, /"what":"token".*without a valid token, the last from 127\.0\.0\.\d/);
  const bundle = join(root, 'bundle.tar.gz');
  await expectDone(home.holdfast('support', 'create', '--to', bundle));
  const unpacked = execFileSync('tar', ['-xzOf', bundle], { encoding: 'utf8' });
  const audit = readFileSync(join(home.store, 'audit.log'), 'utf8');
  const stored = readFileSync(listen.tokens, 'utf8');
  for (const name of ['curl', 'manager', 'trusted']) {
    const secret = readFileSync(join(root, `token-${name}`), 'utf8')
      .trim()
      .slice(4);
    for (const text of [unpacked, audit, stored, service!.log()]) ok(!text.includes(secret), name);
  }
  ok(!(unpacked + audit + service!.log()).includes('x'.repeat(43)));
});

test('a revoked token ends what is under way by it', { skip }, async () => {
  const file = await token('short-lived', '--may', 'look');
  const words = [...bearer(file), '-H', 'Accept: application/x-ndjson', '-sSN', '--cacert'];
  const url = `https://127.0.0.1:${port()}/v1/service/follow`;
  const follower = spawn('curl', [...words, own.certificate, '-d', '{}', url]);
  const lines = createInterface({ input: follower.stdout });
  const first = once(lines, 'line');
  const ended = once(follower, 'close');
  const manage = await token('starter', '--may', 'manage');
  const isFollowing = first.then(() => true);
  // It hears of sessions once it is there: another one is started until then.
  for (let n = 0; n < 50; n++) {
    await expectDone(remote(manage, 'recover', 'vm@latest', '--detach'));
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 200));
    if (await Promise.race([isFollowing, late])) break;
  }
  await first;
  await expectDone(home.holdfast('token', 'revoke', 'short-lived'));
  await ended;
  equal(curl('/v1/service/show', ...bearer(file)).status, 401);
});

test('the console is a client over it as well', { skip: skip || without('tmux') }, async () => {
  const at = `--server https://127.0.0.1:${port()}`;
  const file = await token('screen', '--may', 'look');
  // What comes through a pipe can be read once.
  const piped = `--cafile <(cat '${own.certificate}') --token-file <(cat '${file}')`;
  const line = `exec '${process.execPath}' '${MAIN}' console ${at} ${piped}`;
  using screen = openScreen(['bash', '-c', line], { directory: root, term: 'screen' });
  await screen.shows(/The service runs\./);
});

test('long requests are refused, and a host that opens many connections shuts out no other', {
  skip,
}, async () => {
  const file = await token('bounded', '--may', 'look');
  const long = join(root, 'long');
  writeFileSync(long, Buffer.alloc(2 * 2 ** 20, 0x20));
  const refused = curl('/v1/service/show', ...bearer(file), '--data-binary', `@${long}`);
  // It asks whether it may send so much, and is answered before it does.
  equal(refused.status, 400, refused.body);
  const sockets = Array.from({ length: 40 }, () => connect(port(), '127.0.0.1'));
  const closed = sockets.map((socket) =>
    once(
      socket.on('error', () => {}),
      'close',
    ),
  );
  await Promise.any(closed);
  equal(curl('/v1/service/show', '--interface', '127.0.0.2', ...bearer(file)).status, 200);
  for (const socket of sockets) socket.destroy();
  await Promise.all(closed);
  equal(curl('/v1/service/show', ...bearer(file)).status, 200);
});

test('hosts that take all connections together leave room for one that has none', {
  skip,
}, async () => {
  const file = await token('late', '--may', 'look');
  const hosts = Array.from({ length: 8 }, (_, at) => `127.0.0.${10 + at}`);
  const sockets = hosts.flatMap((localAddress) =>
    Array.from({ length: 16 }, () => connect({ port: port(), host: '127.0.0.1', localAddress })),
  );
  await using stack = new AsyncDisposableStack();
  stack.defer(() => void sockets.map((socket) => socket.destroy()));
  for (const socket of sockets) socket.on('error', () => {});
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const ended = Promise.any(sockets.map((socket) => once(socket, 'close')));
  const asked = spawn('curl', [
    ...['-s', '-o', join(root, 'late'), '-w', '%{http_code}', '--max-time', '8'],
    ...['--cacert', own.certificate, '--interface', '127.0.0.2', '-X', 'POST', ...bearer(file)],
    ...['-d', '{}', `https://127.0.0.1:${port()}/v1/service/show`],
  ]);
  const [status] = (await once(asked.stdout, 'data')) as [Buffer];
  equal(status.toString(), '200');
  await ended;
});

test('what a command does itself is not done here in the place of there', { skip }, async () => {
  const file = await token('mounter', '--may', 'manage', '--files');
  const made = join(root, 'made-here');
  for (const words of [
    ['mount', root],
    ['store', 'cat', 'point', 'vm@latest'],
    ['store', 'create', made],
    ['files', 'list', 'vm@latest', 'vda'],
    ['files', 'find', 'vm@latest', 'vda', '--name', 'x'],
    ['files', 'get', 'vm@latest', 'vda', '/', '--to', made],
    ['files', 'open', 'vm@latest', '--at', made],
    ['store', 'cat', 'point', 'vm@latest', '--store', home.store],
  ]) {
    const { code, stderr } = await remote(file, ...words);
    equal(code, 2, words.join(' '));
    match(stderr, /run it on 127\.0\.0\.1, without --server/, words.join(' '));
  }
  equal(existsSync(made), false);
});

test('requests sent without waiting for answers are bounded', { skip }, async () => {
  const secret = readFileSync(await token('hasty', '--may', 'look'), 'utf8').trim();
  const head = `GET /v1/service/show HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}`;
  const many = `${head}\r\n\r\n`.repeat(200);
  const socket = tlsConnect({
    ...{ host: '127.0.0.1', port: port(), localAddress: '127.0.0.3' },
    ca: readFileSync(own.certificate),
  });
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => void parts.push(part)).on('error', () => {});
  await once(socket, 'secureConnect');
  socket.write(many);
  await once(socket, 'close');
  const answers =
    Buffer.concat(parts)
      .toString()
      .match(/HTTP\/1\.1 200/g) ?? [];
  equal(answers.length, 32);
});

test('a reload takes a new certificate, and a wrong one ends nothing', { skip }, async () => {
  const file = await token('reloader', '--may', 'look');
  const pem = readFileSync(other.certificate, 'utf8');
  home.configure({ listen: { ...listen, ...other } });
  service!.signal('SIGHUP');
  await service!.logged(/reloaded: /);
  const untrusted = await remote(file, 'set', 'list');
  match(untrusted.stderr, /no service answers at https:.*(self-signed|unable to verify)/);
  const shown = await runCli([
    ...['set', 'list', '--server', `https://127.0.0.1:${port()}`, '--token-file', file],
    ...['--cafile', other.certificate],
  ]);
  equal(shown.code, 0, shown.stderr);
  home.configure({ listen: { ...listen, certificate: other.certificate, key: own.key } });
  service!.signal('SIGHUP');
  await service!.logged(/"listen" of the settings is not served: .* is not the key of/);
  match(
    execFileSync('openssl', ['s_client', '-connect', `127.0.0.1:${port()}`, '-showcerts'], {
      encoding: 'utf8',
      input: '',
      stdio: ['pipe', 'pipe', 'ignore'],
    }),
    new RegExp(pem.split('\n')[1]!.replaceAll('+', '\\+')),
  );
  home.configure({});
  service!.signal('SIGHUP');
  await service!.logged(/(reloaded: [^]*){3}/);
  match((await remote(file, 'set', 'list')).stderr, /no service answers at https:/);
  match((await home.holdfast('token', 'list')).stderr, /does not listen for other hosts/);
  equal(await service!.stop('SIGTERM'), 0);
});
