import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { listen } from '../../src/sys/net/network.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { noise } from '../support/random.ts';
import { program } from '../support/programs.ts';
import { serviceHome, startService } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 24 * 2 ** 20, 50);
const home = serviceHome(root);
const { holdfast, attached } = home;
const page = noise(4096, 7);

const states = async (): Promise<string[]> => {
  const { result } = await expectDone(holdfast('session', 'list'));
  return (result['sessions'] as { state: string }[]).map(({ state }) => state);
};

test('it starts empty, and creates its store on request', async () => {
  await using service = await home.run();
  match(service.log(), /ready: no store/);
  const empty = await holdfast('set', 'list');
  equal(empty.code, 5);
  match(empty.stderr, /store create/);
  ok(!existsSync(home.store), 'nothing is made by itself');
  equal((await expectDone(holdfast('service', 'show'))).result['storeId'], null);
  equal((await holdfast('token', 'revoke', 'unknown')).code, 1);
  // As long as there is no audit log, that is all there is of it.
  const who = `token/revoke for user ${process.getuid!()} \\(process \\d+\\)`;
  await service.logged(new RegExp(`${who} begins; there is no store.*: {"token":"unknown"}`));
  await service.logged(new RegExp(`${who}: failed: the service does not listen for other hosts`));
  const made = await expectDone(holdfast('store', 'create'));
  equal(made.result['store'], home.store);
  await service.logged(/store\/create for user \d+ .*: done/);
  equal((await holdfast('store', 'create')).code, 1);
  deepEqual((await expectDone(holdfast('set', 'list'))).result['sets'], []);
  const secret = ['--passphrase-file', home.passphrase];
  await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...secret));
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  const point = await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  ok(point.lines.some(({ event }) => event === 'progress'));
  equal((await expectDone(holdfast('backup', 'show', 'vm@latest'))).result['set'], 'nightly');
  const { entries } = (await expectDone(holdfast('audit', 'show'))).result as {
    entries: { what: string; outcome: string; uid: number; pid: number }[];
  };
  deepEqual(
    entries.map(({ what, outcome }) => `${what} ${outcome}`),
    [
      ...['store/create begun', 'store/create done', 'store/create begun', 'store/create failed'],
      ...['set/create begun', 'set/create done', 'backup/create begun', 'backup/create done'],
    ],
  );
  equal(entries[0]!.uid, process.getuid!());
  equal((await expectDone(holdfast('audit', 'check'))).result['entries'], entries.length);
  const audit = readFileSync(join(home.store, 'audit.log'), 'utf8');
  equal(await service.stop('SIGTERM'), 0);
  for (const text of [service.log(), audit]) ok(!/correct horse|Y29ycmVjdCBob3JzZQ/.test(text));
});

test('the passphrases that its settings name cannot be backed up', async () => {
  await using _service = await home.run();
  const link = join(root, 'link.raw');
  symlinkSync(home.passphrase, link);
  for (const path of [home.passphrase, link]) {
    const disk = ['--machine', 'vm', '--disk', `vda=${path}`];
    const { code, stderr } = await holdfast('backup', 'create', 'nightly', ...disk);
    equal(code, 8);
    match(stderr, /holds secrets of this host/);
  }
  const named = join(root, 'named.qcow2');
  await program('qemu-img', 'create', '-qfqcow2', '-b', link, '-F', 'raw', named, '1M');
  const disk = ['--machine', 'vm', '--disk', `vda=${named}`, '--format', 'qcow2'];
  const { code, stderr } = await holdfast('backup', 'create', 'nightly', ...disk);
  equal(code, 8);
  match(stderr, /named\.qcow2 leads to .*, which holds secrets of this host/);
});

test('a wrong key that is given is refused, though the service knows the right one', async () => {
  await using _service = await home.run();
  const wrong = join(root, 'wrong');
  writeFileSync(wrong, 'wrong\n');
  equal((await holdfast('backup', 'show', 'vm@latest', '--passphrase-file', wrong)).code, 4);
  home.configure({});
});

test('a session whose key is missing waits, and runs after a reload', async () => {
  await using service = await home.run();
  const without = await holdfast('recover', 'vm@latest', '--detach');
  equal(without.code, 2, 'no service to ask');
  const secret = ['--passphrase-file', home.passphrase];
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach', ...secret));
  deepEqual(await states(), ['running']);
  equal(await service.stop('SIGTERM'), 0);
  await using again = await home.run();
  match(again.log(), /cannot be resumed yet: the service has no passphrase for set "nightly"/);
  deepEqual(await states(), ['ready']);
  const shown = await expectDone(holdfast('session', 'show', result['session'] as string));
  match(shown.result['waits'] as string, /no passphrase/);
  home.configure({ passphraseFiles: { nightly: home.passphrase }, frob: 1 });
  again.signal('SIGHUP');
  await again.logged(/settings were not changed: .*line \d+: frob/);
  home.configure({ passphraseFiles: { nightly: home.passphrase } });
  again.signal('SIGHUP');
  await again.logged(/is resumed/);
  deepEqual(await states(), ['running']);
  const session = result['session'] as string;
  equal((await holdfast('session', 'discard', session)).code, 3, 'while it runs');
  await expectDone(holdfast('session', 'stop', session));
  equal((await holdfast('session', 'stop', session)).code, 1);
  await expectDone(holdfast('session', 'discard', session));
});

test('who is connected, how much goes through, and how full the store is', async () => {
  await using _service = await home.run();
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const { session, exports } = result as { session: string; exports: { uri: string }[] };
  const shown = async () => {
    const listing = (await expectDone(holdfast('export', 'list'))).result;
    return (listing['exports'] as Shown[]).find((it) => it.session === session)!;
  };
  type Client = { address: string | null; since: string; readBytes: number; writtenBytes: number };
  type Shown = { session: string; uri: string; clients: Client[]; readBytes: number };
  {
    await using disk = await openNbdDisk(exports[0]!.uri);
    await disk.read(new Uint8Array(65_536), 0);
    await disk.write(page, 0, 'cached');
    const { uri, clients } = await shown();
    equal(uri, exports[0]!.uri);
    const [{ since, ...client }] = clients as [Client];
    deepEqual(client, { address: null, readBytes: 65_536, writtenBytes: 4096 });
    ok(Date.parse(since) > 0);
  }
  let left = await shown();
  while (left.clients.length > 0) left = await shown();
  equal(left.readBytes, 65_536);
  const log = (await expectDone(holdfast('session', 'log', session))).result;
  const [begun] = log['lines'] as { message: string }[];
  equal(begun!.message, 'started');
  equal((await holdfast('session', 'log', 'absent')).code, 5);
  const usage = (await expectDone(holdfast('store', 'usage'))).result as {
    growth: object;
    saving: { points: number; readBytes: number; storedBytes: number };
  };
  const { points, readBytes, storedBytes } = usage.saving;
  ok(points >= 1 && storedBytes > 0 && readBytes >= storedBytes, JSON.stringify(usage));
  // Only now begun: a forecast would be a guess.
  const { since, ...unknown } = usage.growth as { since: string };
  deepEqual(unknown, { bytesPerDay: null, fullAt: null });
  ok(since === null || Date.parse(since) > 0);
  type Throughput = { points: Client[]; now: Client };
  let rates = (await expectDone(holdfast('service', 'throughput'))).result as unknown as Throughput;
  while (!rates.points.some((it) => it.readBytes > 0)) {
    rates = (await expectDone(holdfast('service', 'throughput'))).result as unknown as Throughput;
  }
  equal((await holdfast('service', 'throughput', '--points', '0')).code, 2);
  await expectDone(holdfast('session', 'stop', session));
  await expectDone(holdfast('session', 'discard', session));
});

test('an attached recover: Ctrl-C stops the session, a lost terminal does not', async () => {
  await using service = await home.run();
  const lost = await attached('recover', 'vm@latest');
  await lost.stop('SIGKILL');
  deepEqual(await states(), ['running']);
  const hungUp = await attached('recover', 'vm@latest');
  await hungUp.stop('SIGHUP');
  deepEqual(await states(), ['running', 'running']);
  for (const what of ['stop', 'discard']) {
    await expectDone(holdfast('session', what, hungUp.ready.session));
  }
  const stopped = await attached('recover', 'vm@latest');
  const { session } = stopped.ready;
  {
    await using disk = await openNbdDisk(stopped.uri);
    await disk.write(page, 0, 'cached');
  }
  equal(await stopped.stop('SIGINT'), 0);
  deepEqual((await states()).sort(), ['ready', 'running']);
  const again = await attached('recover', '--resume', session);
  {
    await using disk = await openNbdDisk(again.uri);
    const got = new Uint8Array(4096);
    await disk.read(got, 0);
    deepEqual(got, page);
  }
  // Stopped by another command: the attached command ends on its own.
  await expectDone(holdfast('session', 'stop', session));
  equal(await again.ended, 0);
  const kept = await expectDone(holdfast('session', 'keep', session));
  equal(
    (await expectDone(holdfast('backup', 'show', 'vm@latest'))).result['point'],
    kept.result['point'],
  );
  equal(await service.stop('SIGINT'), 0);
  equal((await holdfast('service', 'show')).code, 9, 'it is gone');
  await expectDone(holdfastHere('session', 'discard', lost.ready.session));
});

/** Without the service, in the command's own process. */
const holdfastHere = (...args: string[]) => runCli([...args, '--store', home.store, '--json']);

test('sockets that a killed service left go with the next start, those in use stay', async () => {
  const sockets = temporaryDirectory();
  const environment = { RUNTIME_DIRECTORY: sockets };
  const inUse = join(sockets, 'vm-000000.sock');
  await using _other = await listen({ kind: 'unix', path: inUse }, () => {});
  const killed = await home.run({ environment });
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  const session = result['session'] as string;
  await killed.stop('SIGKILL');
  await expectDone(holdfastHere('session', 'discard', session));
  deepEqual(readdirSync(sockets).sort(), [`${session}.sock`, 'vm-000000.sock'].sort());
  await using service = await home.run({ environment });
  await service.logged(
    new RegExp(`removed what killed processes left: .*/${session}\\.sock$`, 'm'),
  );
  deepEqual(readdirSync(sockets), ['vm-000000.sock']);
});

test('a second service is refused, by name of the first', async () => {
  await using service = await home.run();
  const other = join(root, 'other.sock');
  for (const args of [[], ['--socket', other]]) {
    await rejects(
      startService(['--config', home.settings, ...args]),
      new RegExp(`in use by holdfastd \\(process ${service.pid} `),
    );
  }
  equal((await holdfast('set', 'list')).code, 0);
});

test('wrong settings end it with a message, before anything runs', async () => {
  home.configure({ store: 'relative' });
  const environment = { HOLDFAST_STATE: temporaryDirectory() };
  const wrong = /holdfastd\.json: line 2: store: not a path/;
  await rejects(home.run({ environment }), wrong, 'no others are known');
  home.configure({ passphraseFiles: { nightly: home.passphrase } });
});

/** Sends bytes and answers what came back until the connection ended. */
async function raw(bytes: string | Uint8Array): Promise<string> {
  const socket = createConnection({ path: home.socket });
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  socket.on('error', () => {});
  socket.write(bytes);
  // Half of a request, or none: it would wait for the rest.
  if (typeof bytes !== 'string') socket.end();
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts).toString('latin1');
}

const get = (path: string): Promise<string> =>
  raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);

const post = (path: string, body: string): Promise<string> => {
  const length = Buffer.byteLength(body);
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${length}`;
  return raw(`${head}\r\n\r\n${body}`);
};

test('what is not understood is refused; hostile bytes end their own connection only', async () => {
  await using service = await home.run();
  await using running = await attached('recover', 'vm@latest');
  match(await post('/v1/session/show', '{"session": 7}'), /400 .*"session: a text, not a number"/s);
  const nowhere = '{"point": "vm@latest", "listen": "unix:/tmp/a\\u0000"}';
  match(
    await post('/v1/session/start', nowhere),
    /400 .*"listen: not free of control characters"/s,
  );
  match(await post('/v1/session/show', '{'), /400 .*"the body is not JSON"/s);
  match(await post('/v1/session/show', '[]'), /400 /);
  match(await post('/v1/session/list', '{"secret": {}}'), /400 .*takes no secret/s);
  match(await post('/v1/session/show', '{"session": "../../etc"}'), /404 /);
  match(await post('/v1/constructor', '{}'), /404 /);
  match(await post('/etc/passwd', '{}'), /404 /);
  match(await get('/v1/session/discard'), /405 /);
  match(await get('/v1/session/list'), /200 .*"sessions":\[/s);
  const metrics = await get('/metrics');
  match(metrics, /\nholdfast_sessions\{state="running"\} 1\n/);
  match(metrics, /\nholdfast_session_taken_bytes\{session="vm-[0-9a-f]{6}"\} \d+\n/);
  match(metrics, /\nholdfast_store_free_bytes \d+\n/);
  match(await get('/v1/openapi.json'), /"openapi":"3\.1\.0"/);
  const long = `{"session": "${'x'.repeat(2 ** 20)}"}`;
  // Refused before it is read: who goes on sending may not hear why.
  match(await post('/v1/session/show', long), /^$|400 .*at most 1048576 bytes/s);
  await raw(`GET / HTTP/1.1\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`);
  for (let seed = 0; seed < 60; seed++) await raw(noise(1 + seed * 37, seed));
  const idle = Array.from({ length: 300 }, () => {
    const socket = createConnection({ path: home.socket });
    socket.on('error', () => {});
    return socket;
  });
  await using disk = await openNbdDisk(running.uri);
  await disk.write(page, 4096, 'durable');
  for (const socket of idle) socket.destroy();
  await expectDone(holdfast('service', 'show'));
  await running.stop('SIGINT');
  await expectDone(holdfast('session', 'discard', running.ready.session));
  ok(!/error/i.test(service.log()), service.log());
});

test('an unknown user has no access', { skip: process.getuid?.() !== 0 }, async () => {
  chmodSync(root, 0o755);
  await using _service = await home.run();
  const script = `
    const { request } = require('node:http');
    request({ socketPath: ${JSON.stringify(home.socket)}, path: '/v1/set/list', method: 'POST' }, (answer) => {
      console.log(answer.statusCode);
      answer.resume();
    }).end('{}');`;
  const child = spawn('/proc/self/exe', ['-e', script], {
    ...{ uid: 65_534, gid: 65_534, stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' },
    argv0: 'node',
  });
  const [out] = (await once(child.stdout, 'data')) as [Buffer];
  equal(out.toString().trim(), '403');
  await once(child, 'close');
});

test('an altered audit log is reported, and harms nothing', async () => {
  await using _service = await home.run();
  const path = join(home.store, 'audit.log');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('"outcome":"done"', '"outcome":"fine"'));
  equal((await holdfast('audit', 'check')).code, 6);
  const numbers = async () => {
    const { entries } = (await expectDone(holdfast('audit', 'show'))).result as {
      entries: { number: number }[];
    };
    return entries.map(({ number }) => number);
  };
  const shown = await numbers();
  ok(!shown.includes(2) && shown.includes(1) && shown.includes(3), 'all but that line is shown');
  await expectDone(holdfast('service', 'show'));
  writeFileSync(path, text);
  await expectDone(holdfast('audit', 'check'));
});

test('a service whose terminal is closed goes on', async () => {
  const main = new URL('../../src/daemon/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, '--config', home.settings], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(child.stderr, 'data');
  child.stderr.destroy();
  for (let times = 0; times < 3; times++) {
    child.kill('SIGHUP');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await expectDone(holdfast('service', 'show'));
  child.kill('SIGTERM');
  deepEqual(await once(child, 'exit'), [0, null]);
});

test('a start looks at neither packs nor index: what a store holds does not delay it', async () => {
  const parts = ['packs', 'block-index'];
  const away = (part: string): string => join(root, `${part}-away`);
  for (const part of parts) renameSync(join(home.store, part), away(part));
  {
    await using service = await home.run();
    ok(((await expectDone(holdfast('service', 'show'))).result['storeId'] as string).length > 0);
    equal(await service.stop('SIGTERM'), 0);
    for (const part of parts) ok(!existsSync(join(home.store, part)), `${part} was created again`);
  }
  for (const part of parts) renameSync(away(part), join(home.store, part));
  await using _service = await home.run();
  const checked = await expectDone(holdfast('store', 'check', '--read-data'));
  deepEqual(checked.result['problems'], []);
});
