import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { nbdExtended } from '../test/support/nbd-extended.ts';
import { create, list, lookup, read, write } from '../test/support/nfs-calls.ts';
import { rpcClient } from '../test/support/nfs-client.ts';
import { figure, section } from './figures.ts';
import { holdfastIn } from './holdfast.ts';
import { ended, residentBytes, residentNow } from './measure.ts';
import { isReady } from './service.ts';

const MAIN = new URL('../src/cli/main.ts', import.meta.url).pathname;
const DAEMON = new URL('../src/daemon/main.ts', import.meta.url).pathname;
const PROBE = new URL('loop-probe.ts', import.meta.url).pathname;
const MiB = 2 ** 20;
/** Sparse: what is asked for in one request may be all of it. */
const DISK_SIZE = 4 * 2 ** 40;
const NOISE_LENGTH = 64 * MiB;
const LARGEST = 32 * MiB;
const ENTRIES = 5000;
const ROUNDS = 3;
const THREADS_START_MS = 1500;
const HELD_MS_MAX = 20;
const MEMORY_MAX = 64 * MiB;

/** The worst that a single request of each protocol does to the service, which serves all guests from one thread. */
export async function benchFairness(work: string): Promise<void> {
  section(`A single request to the service: main thread held (limit ${HELD_MS_MAX} ms), memory`);
  const { store, run } = await holdfastIn(join(work, 'fairness'));
  const image = join(work, 'fairness.raw');
  writeSync(openSync(image, 'w'), randomBytes(NOISE_LENGTH));
  truncateSync(image, DISK_SIZE);
  await run('backup', 'create', 'bench', '--machine', 'vm', '--disk', `vda=${image}`);
  const socket = join(work, 'fairness.sock');
  const settings = join(work, 'fairness.json');
  const passphrase = join(store, '..', 'passphrase');
  writeFileSync(
    settings,
    JSON.stringify({ store, socket, passphraseFiles: { bench: passphrase } }),
  );
  const service = spawn(process.execPath, ['--import', PROBE, DAEMON, '--config', settings], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  try {
    await isReady(service);
    await control(service, socket);
    const words = ['recover', 'vm@latest', '--detach', '--nfs', '--squash', 'none', '--any-port'];
    const ports = ['--nfs-port', '0', '--mount-port', '0', '--portmap-port', '0'];
    const common = ['--socket', socket, '--json'];
    const said = execFileSync(process.execPath, [MAIN, ...words, ...ports, ...common]).toString();
    const started = JSON.parse(said.trim().split('\n').at(-1)!) as Started;
    await nbd(service, started);
    await nfs(service, started);
  } finally {
    await ended(service, 'SIGTERM');
  }
}

interface Started {
  readonly exports: readonly { readonly uri: string }[];
  readonly nfs: { readonly directory: string; readonly ports: { readonly nfs: number } };
}

/** Several times, and the worst of it. */
async function judge(
  service: ChildProcess,
  name: string,
  work: () => Promise<unknown>,
): Promise<void> {
  let [held, grown] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const before = residentNow(service.pid!);
    // proc(5): the peak of resident memory is counted from zero again.
    writeFileSync(`/proc/${service.pid}/clear_refs`, '5');
    service.send('begin');
    await work();
    service.send('end');
    const [{ heldMs }] = (await once(service, 'message')) as [{ heldMs: number }];
    held = Math.max(held, heldMs);
    grown = Math.max(grown, residentBytes(service.pid!) - before);
  }
  const memory = `${(grown / MiB).toFixed(1)} of ${MEMORY_MAX / MiB} MiB`;
  figure(name, `${held.toFixed(1)} ms`, memory, {
    ratio: Math.min(HELD_MS_MAX / held, MEMORY_MAX / Math.max(grown, 1)),
    aim: '1x',
  });
}

async function nbd(service: ChildProcess, { exports }: Started): Promise<void> {
  const peer = await nbdExtended(new URL(exports[0]!.uri).searchParams.get('socket')!, 'vda');
  const all = { offset: 0, length: DISK_SIZE };
  const large = { offset: 0, length: LARGEST };
  const it = (name: string, work: () => Promise<unknown>) => judge(service, `NBD: ${name}`, work);
  // The threads that decode are started once for all requests, and take some 10 MiB.
  await peer.ask('read', { offset: NOISE_LENGTH - MiB, length: MiB });
  await setTimeout(THREADS_START_MS);
  await it('read of 32 MiB (fills the block cache)', () => peer.ask('read', large));
  await it('read of 32 MiB in one chunk', () => peer.ask('read', { ...large, df: true }));
  await it('cache of 32 MiB', () => peer.ask('cache', { offset: LARGEST, length: LARGEST }));
  await it('write of 32 MiB', () => peer.ask('write', large, randomBytes(LARGEST)));
  await it('what 4 TiB hold', () => peer.ask('blockStatus', all));
  const second = { offset: DISK_SIZE / 2, length: 256 * MiB };
  for (let at = 0; at < 4096; at++) {
    const page = { offset: second.offset + at * 8192, length: 4096 };
    await peer.ask('write', page, randomBytes(4096));
  }
  await it('what 256 MiB hold, every other page', () => peer.ask('blockStatus', second));
  await it('flush', () => peer.ask('flush', { offset: 0, length: 0 }));
  await it('zeros over 4 TiB', () => peer.ask('writeZeroes', all));
  await it('discard of 4 TiB', () => peer.ask('trim', all));
  peer.end();
}

async function nfs(service: ChildProcess, { nfs: { directory, ports } }: Started): Promise<void> {
  await using client = await rpcClient(ports.nfs);
  const { handle: root } = await client.mount(directory);
  const { handle: disk } = await lookup(client, root, 'vda.raw');
  const it = (name: string, work: () => Promise<unknown>) => judge(service, `NFS: ${name}`, work);
  await it('read of 1 MiB', () => read(client, disk, 0, MiB));
  const data = randomBytes(MiB);
  await it('write of 1 MiB, stable', () => write(client, disk, { at: 0, data, stable: 2 }));
  for (let n = 0; n < ENTRIES; n++) await create(client, root, `a file of many, number ${n}`);
  await it(`list of ${ENTRIES} files`, () => list(client, root, { plus: true, size: MiB }));
}

async function control(service: ChildProcess, socket: string): Promise<void> {
  const it = (name: string, work: () => Promise<unknown>) =>
    judge(service, `service's socket: ${name}`, work);
  const post = (path: string, body: string) => () => posted(socket, path, body);
  const nested = `{"set":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
  const many = JSON.stringify({ set: Array.from({ length: 150_000 }, (_, n) => n) });
  await it('1 MiB of lists in lists', post('/v1/backup/list', nested));
  await it('1 MiB of numbers', post('/v1/backup/list', many));
  await it('service/show', post('/v1/service/show', '{}'));
  await it('store/show', post('/v1/store/show', '{}'));
  await it('openapi.json', post('/v1/openapi.json', ''));
  await it('metrics', post('/metrics', ''));
}

async function posted(socketPath: string, path: string, body: string): Promise<void> {
  const sent = request({ socketPath, path, method: 'POST', agent: false });
  // It may be refused before it was all sent.
  sent.on('error', () => {});
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [NodeJS.ReadableStream];
  answer.resume();
  await once(answer, 'end');
}
